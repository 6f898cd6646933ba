//! The orderly stop, and the places to listen at.

use std::time::Duration;

use bytes::Bytes;
use postroom::milter::client::{Caller, ClientError};
use postroom::milter::server::{BindError, Drained};
use postroom::milter::wire::{Command, Plain, Reply};
use postroom::milter::{Address, Listener};

use crate::house::{Server, mail};

#[tokio::test]
async fn a_stop_waits_for_open_messages_only() {
    let mut server = Server::start(false, |_| {}).await;
    server.hold();
    let mut idle = server.client().await;
    idle.open(Caller::default()).await.unwrap();
    let mut busy = server.raw().await;
    busy.until_data().await;
    busy.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    server.shown.recv().await.unwrap();

    server.stop.cancel();
    let gone = idle.send(&mail("<support@shop.example>", "x")).await;
    assert!(matches!(
        gone,
        Err(ClientError::Closed | ClientError::Io(_))
    ));
    server.release();
    assert!(matches!(
        busy.reply().await,
        Some(Reply::InsertHeader { .. })
    ));
    busy.expect(&[Plain::Accept]).await;
    assert_eq!(busy.frame().await, None);
    assert_eq!(server.running.await.unwrap(), Drained { cut: 0 });
    let Address::Unix(path) = &server.address else {
        panic!("{}", server.address);
    };
    assert!(!path.exists(), "the socket's file is gone");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut server = Server::start(false, |options| {
        options.drain = Duration::from_millis(1);
    })
    .await;
    server.hold();
    let mut busy = server.raw().await;
    busy.until_data().await;
    busy.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    server.shown.recv().await.unwrap();
    server.stop.cancel();
    assert_eq!(busy.frame().await, None);
    assert_eq!(server.running.await.unwrap(), Drained { cut: 1 });
}

#[tokio::test]
async fn sockets_left_behind_are_replaced_and_live_ones_are_not() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = Address::Unix(path.clone());

    // What a crash leaves: the file without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind_with_mode(&address, 0o600).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = Listener::bind(&address).await.unwrap_err();
    assert!(matches!(second, BindError::InUse(_)), "{second}");
    assert!(path.exists());

    drop(listener);
    assert!(!path.exists());
    std::fs::write(&path, "a letter").unwrap();
    let third = Listener::bind(&address).await.unwrap_err();
    assert!(matches!(third, BindError::NotASocket(_)), "{third}");
    assert!(path.exists());
}
