//! A name server on loopback, over UDP and TCP, that serves a zone written as text and misbehaves
//! on request.
//!
//! A line is a name, a type and data; everything below a name follows a misbehaving name:
//!
//! ```text
//! x.example             TXT    v=spf1 ip4:192.0.2.1 -all
//! mx.x.example          A      192.0.2.1
//! down.example          SERVFAIL
//! mute.example          SILENT
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mail_auth::hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use mail_auth::hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use mail_auth::hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// How long answers may be kept, in seconds, if the zone does not say otherwise (`TTL 0`).
const TTL: u32 = 300;

/// A running name server; it ends with this value.
pub(crate) struct Dns {
    addr: SocketAddr,
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

struct State {
    zone: Mutex<Vec<Line>>,
    ttl: u32,
    asked: Mutex<Vec<String>>,
}

/// One line of a zone.
struct Line {
    name: Name,
    says: Says,
}

/// What the server says to questions about a name.
#[derive(Clone)]
enum Says {
    /// A record.
    Record(RecordType, RData),
    /// That it failed.
    ServFail,
    /// That it does not answer such questions.
    Refused,
    /// Nothing at all.
    Silent,
    /// Bytes that are no message.
    Garbage,
    /// An answer to another question.
    WrongId,
    /// That the name has another, which has the first.
    Circle,
    /// Over UDP, that the answer does not fit; the rest of the zone has the answer.
    Truncated,
}

impl Dns {
    /// Serves a zone on a free port.
    pub(crate) async fn start(zone: &str) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // Somebody else may have the same port of the other kind.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let ttl = (zone.lines())
            .find_map(|line| line.trim().strip_prefix("TTL "))
            .map_or(TTL, |ttl| ttl.trim().parse().unwrap());
        let state = Arc::new(State {
            zone: Mutex::new(lines(zone)),
            ttl,
            asked: Mutex::default(),
        });
        Self {
            addr: tcp.local_addr().unwrap(),
            tasks: vec![
                tokio::spawn(serve_udp(udp, Arc::clone(&state))),
                tokio::spawn(serve_tcp(tcp, Arc::clone(&state))),
            ],
            state,
        }
    }

    /// Where it listens.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves another zone from now on.
    pub(crate) fn change(&self, zone: &str) {
        *lock(&self.state.zone) = lines(zone);
    }

    /// The questions so far, as `TXT x.example.`, and forgets them.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.asked))
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

fn lines(zone: &str) -> Vec<Line> {
    let lines = zone.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("TTL "))
        .map(|line| {
            let mut words = line.splitn(3, char::is_whitespace);
            let owner = words.next().unwrap();
            let rest = words.next().into_iter().chain(words.next());
            let rest = rest.collect::<Vec<_>>().join(" ");
            let (kind, data) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            Line {
                name: name(owner),
                says: says(kind, data.trim()),
            }
        })
        .collect()
}

fn says(kind: &str, data: &str) -> Says {
    let record = match kind {
        "TXT" => {
            // A string of a TXT record holds 255 bytes; longer texts are cut up.
            let strings = data.as_bytes().chunks(255);
            let strings = strings.map(|piece| String::from_utf8(piece.to_vec()).unwrap());
            RData::TXT(TXT::new(strings.collect()))
        }
        "A" => RData::A(A(data.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(data.parse().unwrap())),
        "MX" => {
            let (preference, host) = data.split_once(' ').unwrap();
            RData::MX(MX::new(preference.parse().unwrap(), name(host)))
        }
        "PTR" => RData::PTR(PTR(name(data))),
        "CNAME" => RData::CNAME(CNAME(name(data))),
        "SERVFAIL" => return Says::ServFail,
        "REFUSED" => return Says::Refused,
        "SILENT" => return Says::Silent,
        "GARBAGE" => return Says::Garbage,
        "WRONG-ID" => return Says::WrongId,
        "CIRCLE" => return Says::Circle,
        "TRUNCATED" => return Says::Truncated,
        other => panic!("no such type: {other}"),
    };
    Says::Record(record.record_type(), record)
}

async fn serve_udp(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = vec![0; 4096];
    loop {
        let (size, peer) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(answer) = state.answer(&buffer[..size], true) {
            socket.send_to(&answer, peer).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(converse(stream, Arc::clone(&state)));
    }
}

async fn converse(mut stream: TcpStream, state: Arc<State>) {
    while let Ok(size) = stream.read_u16().await {
        let mut question = vec![0; size.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        if let Some(answer) = state.answer(&question, false) {
            let mut framed = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(answer);
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let (asked, kind) = (query.name().clone(), query.query_type());
        lock(&self.asked).push(format!("{kind} {asked}"));
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.queries.push(query);
        let zone = lock(&self.zone);
        let odd = zone
            .iter()
            .find(|line| !matches!(line.says, Says::Record(..)) && line.name.zone_of(&asked));
        match odd.map(|line| &line.says) {
            Some(Says::Silent) => return None,
            Some(Says::Garbage) => return Some(vec![0xff; 40]),
            Some(Says::ServFail) => answer.metadata.response_code = ResponseCode::ServFail,
            Some(Says::Refused) => answer.metadata.response_code = ResponseCode::Refused,
            Some(Says::Truncated) if udp => answer.metadata.truncation = true,
            Some(Says::Circle) => {
                let other = Name::from_ascii("circle").unwrap();
                let other = other.append_domain(&asked).unwrap();
                let pairs = [(asked.clone(), other.clone()), (other, asked)];
                for (from, to) in pairs {
                    let to = RData::CNAME(CNAME(to));
                    answer.answers.push(Record::from_rdata(from, self.ttl, to));
                }
            }
            wrong => {
                if let Some(Says::WrongId) = wrong {
                    answer.metadata.id = question.metadata.id.wrapping_add(1);
                }
                self.look_up(&zone, &asked, kind, &mut answer);
            }
        }
        Some(answer.to_vec().unwrap())
    }

    fn look_up(&self, zone: &[Line], asked: &Name, kind: RecordType, answer: &mut Message) {
        let mut known = false;
        let mut owner = asked.clone();
        // A name may have another; that one may be here as well.
        for _ in 0..4 {
            let mut next = None;
            for line in zone.iter().filter(|line| line.name == owner) {
                known = true;
                if let Says::Record(is, data) = &line.says {
                    if *is == kind || *is == RecordType::CNAME {
                        let record = Record::from_rdata(owner.clone(), self.ttl, data.clone());
                        answer.answers.push(record);
                    }
                    if let RData::CNAME(CNAME(other)) = data {
                        next = Some(other.clone());
                    }
                }
            }
            let Some(other) = next else { break };
            owner = other;
        }
        known |= zone.iter().any(|line| asked.zone_of(&line.name));
        if answer.answers.is_empty() {
            if !known {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            // Without it nobody may remember that there is nothing (RFC 2308, section 5).
            let soa = SOA::new(
                name("ns.example"),
                name("host.example"),
                1,
                1,
                1,
                1,
                self.ttl,
            );
            let soa = Record::from_rdata(name("example"), self.ttl, RData::SOA(soa));
            answer.authorities.push(soa);
        }
    }
}
