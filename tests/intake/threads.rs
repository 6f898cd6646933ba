//! Which case a letter joins, from the milter's socket to the tag in the delivered copy.

use postroom::desk::{Case, Command, HoldReason, State};
use postroom::mail::address::Address;
use postroom::mail::dossier::{Dossier, Remark};
use postroom::mail::threading::{Decision, Place};
use postroom::mail::token::{Audience, MainNumber, mint_address};
use postroom::milter::client::Said;

use crate::{House, LETTER, tag};

const SUPPORT: [&str; 1] = ["support@shop.example"];

/// A letter of Ada's with this id that says this in its header.
fn letter(id: &str, fields: &str) -> String {
    format!(
        "From: Ada <ada@ada.example>\nTo: support@shop.example\nSubject: Something\n\
         Message-ID: <{id}@ada.example>\n{fields}\nHello.\n"
    )
}

impl House {
    /// Sends a letter of Ada's and tells which case it went to.
    async fn case_of(&self, to: &[&str], letter: &str) -> MainNumber {
        let outcome = self.send("ada@ada.example", to, letter).await;
        let cases = tag(&outcome, letter, "X-Postroom-Case");
        let [case] = cases.as_slice() else {
            panic!("{cases:?}: {outcome:?}");
        };
        case.parse().unwrap()
    }

    async fn case(&self, number: MainNumber) -> Case {
        self.running.handle.case(number).await.unwrap().unwrap()
    }

    /// The dossier of the newest letter of all that is open.
    async fn newest_dossier(&self) -> Dossier {
        let open = self.open_interactions().await;
        let newest = open.iter().map(|found| found.latest_inbound).max().unwrap();
        let found = self.running.handle.dossier(newest).await;
        found.unwrap().unwrap()
    }

    async fn command(&self, command: Command) {
        self.running.handle.command(command, None).await.unwrap();
    }

    /// The address to answer to in a case of Ada's.
    async fn reply_address(&self, number: MainNumber) -> String {
        let ada = Address::parse("ada@ada.example").unwrap();
        let audience = Audience {
            case: number,
            generation: self.case(number).await.generation,
            slot: 0,
            address: &ada,
        };
        let mailbox = Address::parse(SUPPORT[0]).unwrap();
        let keyring = self.running.handle.keyring();
        mint_address(&keyring, audience, &mailbox)
            .unwrap()
            .to_string()
    }
}

#[tokio::test]
async fn a_second_letter_before_anybody_answered_joins_the_first() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let answer = letter("2", "References: <0@x> <1@ada.example>\n");
    assert_eq!(house.case_of(&SUPPORT, &answer).await, first);
    let Decision::Join { evidence, .. } = house.newest_dossier().await.threading.decision else {
        panic!("it did not join");
    };
    assert_eq!(evidence.place, Place::References);
    // Its own id counts from now on as well, also after a restart.
    let house = house.restart().await;
    let third = letter("3", "In-Reply-To: <2@ada.example>\n");
    assert_eq!(house.case_of(&SUPPORT, &third).await, first);
    assert_eq!(house.open_interactions().await.len(), 1);
    let number = letter("4", "").replace("Something", &format!("[Case {first}] more"));
    assert_eq!(house.case_of(&SUPPORT, &number).await, first);
    let unrelated = letter("5", "");
    assert_ne!(house.case_of(&SUPPORT, &unrelated).await, first);
}

#[tokio::test]
async fn who_forges_a_sender_gets_into_no_case() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let forged = letter("2", "In-Reply-To: <1@ada.example>\n").replace("ada@ada", "ada@bad");
    let own = house.case_of(&SUPPORT, &forged).await;
    assert_ne!(own, first);
    let open = house.open_interactions().await;
    let held = open.iter().find(|found| found.case == own).unwrap();
    let State::Held { reason, aside, .. } = &held.state else {
        panic!("{held:?}");
    };
    assert_eq!((reason, aside), (&HoldReason::Distrusted, &Some(first)));
    assert_eq!(house.case(own).await.follow_up_of, None);
    let interaction = held.id;
    house.command(Command::Release { interaction }).await;
    assert_eq!(house.case(own).await.follow_up_of, Some(first));
    // What such a letter calls itself names no case either.
    let quoting = letter("3", "In-Reply-To: <2@ada.example>\n");
    assert!(![own, first].contains(&house.case_of(&SUPPORT, &quoting).await));
}

#[tokio::test]
async fn the_address_to_answer_to_is_enough_until_it_is_revoked() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let address = house.reply_address(first).await;
    let answer = |id: &str| letter(id, "").replace("support@shop.example", &address);
    assert_eq!(house.case_of(&[&address], &answer("2")).await, first);

    // A new key signs from now on; what the old one signed is still good, also after a restart.
    let rotated = house.running.handle.rotate_mail_key().await;
    assert_eq!(rotated.unwrap(), 2);
    assert_ne!(house.reply_address(first).await, address);
    let house = house.restart().await;
    assert_eq!(house.running.handle.keyring().current(), 2);
    assert_eq!(house.case_of(&[&address], &answer("3")).await, first);

    let case = Box::new(house.case(first).await);
    house.command(Command::RevokeTokens { case }).await;
    assert_ne!(house.case_of(&[&address], &answer("4")).await, first);
    let remarks = house.newest_dossier().await.remarks;
    assert!(
        matches!(remarks.as_slice(), [Remark::BadToken(_)]),
        "{remarks:?}"
    );
}

#[tokio::test]
async fn two_tokens_lead_to_the_case_of_the_first() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let second = house.case_of(&SUPPORT, &letter("2", "")).await;
    let one = house.reply_address(first).await;
    let two = house.reply_address(second).await;
    for (id, to, joined, other) in [
        ("3", [one.as_str(), &two], first, second),
        ("4", [&two, &one], second, first),
    ] {
        assert_eq!(house.case_of(&to, &letter(id, "")).await, joined);
        let conflicts = house.newest_dossier().await.threading.conflicts;
        let named: Vec<MainNumber> = conflicts.iter().map(|conflict| conflict.case).collect();
        assert_eq!(named, [other]);
    }
}

#[tokio::test]
async fn who_guesses_tokens_is_believed_none_for_an_hour() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let address = house.reply_address(first).await;
    let guess = |n: usize| {
        let digits = [b'a' + (n % 26) as u8, b'2' + (n / 26) as u8];
        let mut guess = address.clone();
        guess.replace_range(28..30, std::str::from_utf8(&digits).unwrap());
        guess
    };
    let guesses: Vec<String> = (0..21)
        .map(guess)
        .filter(|guess| *guess != address)
        .take(20)
        .collect();
    let guesses: Vec<&str> = guesses.iter().map(String::as_str).collect();
    let to_token = |id: &str| letter(id, "").replace("support@shop.example", &address);
    assert_ne!(house.case_of(&guesses[1..], &letter("2", "")).await, first);
    // Nineteen may be mistakes.
    assert_eq!(house.case_of(&[&address], &to_token("3")).await, first);
    assert_ne!(house.case_of(&guesses[..1], &letter("4", "")).await, first);
    // The letter is taken as before, but the token is as good as none.
    assert_ne!(house.case_of(&[&address], &to_token("5")).await, first);
    let ignored = [Remark::TokenIgnored(address.clone())];
    assert_eq!(house.newest_dossier().await.remarks, ignored);
    // What else it says of its case counts, and so does another client's word.
    let answer = letter("6", "In-Reply-To: <1@ada.example>\n");
    assert_eq!(house.case_of(&[&address], &answer).await, first);
    let letter = to_token("7").replace("ada@ada", "bob@bob");
    let to = [address.as_str()];
    let outcome = (house.send_by("192.0.2.9", "bob@bob.example", &to, &letter)).await;
    assert_eq!(outcome.verdict, Said::Accept);
    assert_eq!(house.newest_dossier().await.remarks, []);
    // A changed configuration forgives nobody.
    house.running.reload(&house.config).await.unwrap();
    assert_ne!(house.case_of(&[&address], &to_token("8")).await, first);
    assert_eq!(house.newest_dossier().await.remarks, ignored);
}

#[tokio::test]
async fn letters_to_a_merged_case_belong_to_the_other() {
    let house = House::open("").await;
    let first = house.case_of(&SUPPORT, LETTER).await;
    let second = house.case_of(&SUPPORT, &letter("2", "")).await;
    let open = house.open_interactions().await;
    let waits = open.iter().find(|found| found.case == second).unwrap();
    let interaction = waits.id;
    house.command(Command::Dismiss { interaction }).await;
    let case = Box::new(house.case(second).await);
    let into = Box::new(house.case(first).await);
    house.command(Command::MergeCase { case, into }).await;
    let answer = letter("3", "In-Reply-To: <2@ada.example>\n");
    assert_eq!(house.case_of(&SUPPORT, &answer).await, first);
}

#[tokio::test]
async fn what_is_odd_about_a_letter_is_remarked() {
    let house = House::open("").await;
    house.case_of(&SUPPORT, LETTER).await;
    let again = LETTER.replace("Where", "And where");
    house.case_of(&SUPPORT, &again).await;
    let remarks = house.newest_dossier().await.remarks;
    assert!(
        matches!(remarks.as_slice(), [Remark::IdReused(_)]),
        "{remarks:?}"
    );
    let blind = letter("2", "").replace("support@shop", "somebody@else");
    house.case_of(&SUPPORT, &blind).await;
    assert_eq!(house.newest_dossier().await.remarks, [Remark::BlindCopy]);
}
