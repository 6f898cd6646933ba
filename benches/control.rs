//! Durable commands over gRPC: agents who set their presence, 1, 8 and 64 at a time.
//!
//! Each call goes through a real gateway on loopback and is answered after its sync, so the figure
//! is calls a second as a client program sees them. All agents share one connection, as etcd's
//! benchmark does by default.

#![expect(missing_docs, reason = "criterion's macro writes a public function")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postroom::config::Config;
use postroom::desk::{Answer, Command, NewAgent};
use postroom::gateway::{self, Running};
use postroom::grpc::client::{Credential, Credited, Place, connect};
use postroom::grpc::pb;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::id::AgentId;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const AGENTS_MAX: usize = 64;

type Client = PresenceServiceClient<Credited>;

async fn start(folder: &std::path::Path) -> Running {
    let text = format!(
        "[gateway]\ndata_dir = {:?}\nname = \"bench.example\"\n\
         [milter]\nlisten = \"inet:127.0.0.1:0\"\n[control]\nlisten = \"127.0.0.1:0\"\n\
         [authentication]\nresolver = \"off\"\n\
         [[queue]]\nid = \"support\"\naddresses = [\"support@bench.example\"]\n",
        folder
    );
    let config = Config::parse(&text).expect("the configuration is good");
    gateway::start(&config, None)
        .await
        .expect("the gateway starts")
}

/// A client for each of the agents, signed in.
async fn clients(running: &Running) -> Vec<Client> {
    let place = Place::Host(running.control.to_string());
    let channel = connect(&place).await.expect("the gateway answers");
    let mut clients = Vec::new();
    for number in 0..AGENTS_MAX {
        let agent: AgentId = format!("agent-{number}").parse().expect("a slug");
        let new = NewAgent {
            id: agent.clone(),
            display_name: String::new(),
            password: None,
            supervisor: false,
            capacity: 1,
            queues: Vec::new(),
        };
        let handle = &running.handle;
        handle
            .command(Command::CreateAgent(new), None)
            .await
            .expect("the agent is new");
        let open = Command::OpenSession {
            agent,
            takeover: false,
            initial: None,
            lease: Some(Duration::from_secs(300)),
            client: String::new(),
        };
        let done = handle.command(open, None).await.expect("nobody is here");
        let Answer::Session(view, _) = done.answer else {
            panic!("a session was opened");
        };
        let token = handle.keys().session_token(view.session.id);
        let credential = Credential::bearer(&token).expect("tokens are ASCII");
        clients.push(PresenceServiceClient::with_interceptor(
            channel.clone(),
            credential,
        ));
    }
    clients
}

/// One agent's calls, one after the other.
async fn calls(mut client: Client, count: u64) {
    for number in 0..count {
        let state = if number % 2 == 0 {
            pb::AgentState::Available
        } else {
            pb::AgentState::WorkOffline
        };
        let request = pb::SetPresenceRequest {
            name: "agents/me/presence".to_owned(),
            state: state.into(),
            ..pb::SetPresenceRequest::default()
        };
        let response = client.set_presence(request).await;
        black_box(response.expect("the presence is set"));
    }
}

fn set_presence(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a scratch folder");
    let running = runtime.block_on(start(folder.path()));
    let clients = runtime.block_on(clients(&running));
    let mut group = criterion.benchmark_group("set presence");
    group.throughput(Throughput::Elements(1));
    for at_once in [1, 8, AGENTS_MAX] {
        group.bench_function(BenchmarkId::from_parameter(at_once), |bencher| {
            bencher.iter_custom(|iterations| {
                let share = iterations.div_ceil(at_once as u64);
                let work = clients.iter().take(at_once).cloned();
                let began = Instant::now();
                runtime.block_on(async {
                    let tasks: Vec<_> = work
                        .map(|client| tokio::spawn(calls(client, share)))
                        .collect();
                    for task in tasks {
                        task.await.expect("no call panics");
                    }
                });
                // The shares were rounded up.
                let done = share * at_once as u64;
                began.elapsed().mul_f64(iterations as f64 / done as f64)
            });
        });
    }
    group.finish();
    runtime
        .block_on(running.stop())
        .expect("the gateway stops in order");
}

criterion_group!(benches, set_presence);
criterion_main!(benches);
