//! One whole session by every way that a tool may get out: QUIC, TLS over TCP, one of each, an HTTP proxy, and a network
//! that swallows UDP. Each time the tools say what carries it, typed text arrives whole, once and in order, and both
//! sides see the same.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use loadtest::{
    editor::{Editor, PIECES},
    process,
    proxy::Proxy,
    stage::Ways,
    tool::{Tool, Way},
    world::World,
};
use tokio::{net::UdpSocket, task::JoinHandle, time::Instant};

#[tokio::test]
async fn a_session_over_quic_on_both_sides() {
    let ways = Ways { operator: Way::only("quic"), client: Way::only("quic") };
    goes(&ways, ("quic", "quic")).await;
}

#[tokio::test]
async fn a_session_over_tcp_on_both_sides() {
    let ways = Ways { operator: Way::only("tcp"), client: Way::only("tcp") };
    goes(&ways, ("tcp", "tcp")).await;
}

#[tokio::test]
async fn a_session_over_quic_for_the_operator_and_tcp_for_the_customer() {
    let ways = Ways { operator: Way::only("quic"), client: Way::only("tcp") };
    goes(&ways, ("quic", "tcp")).await;
}

#[tokio::test]
async fn a_session_over_tcp_for_the_operator_and_quic_for_the_customer() {
    let ways = Ways { operator: Way::only("tcp"), client: Way::only("quic") };
    goes(&ways, ("tcp", "quic")).await;
}

#[tokio::test]
async fn tools_behind_an_http_proxy_talk_to_nothing_else() {
    let world = World::start().await.unwrap();
    let proxy = Proxy::start(world.folder()).await.unwrap();
    let way = Way { transport: None, proxy: Some(format!("http://{}", proxy.address())) };
    let mut editor = Editor::open(&Ways { operator: way.clone(), client: way }, world).await.unwrap();

    type_and_check(&mut editor, ("tcp", "tcp")).await;

    assert_only_peer(&editor.stage.operator, proxy.address());
    assert_only_peer(&editor.stage.client, proxy.address());
    let manager = editor.stage.world.account().manager.trim_start_matches("https://").to_owned();
    let relay = editor.stage.world.relays()[0].address.to_string();
    assert!(2 <= proxy.asked_for(&manager).unwrap(), "both tools reach the manager through the proxy");
    assert!(2 <= proxy.asked_for(&relay).unwrap(), "both tools reach the relay through the proxy");
    editor.stage.end().await.unwrap();
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn where_udp_is_swallowed_tcp_takes_over_before_quic_gives_up() {
    // Longer than the head start of QUIC and what a session needs to begin; QUIC gives up after this.
    const QUIC_GIVES_UP: Duration = Duration::from_secs(5);
    let mut world = World::start_with(0).await.unwrap();
    world.add_relay_with("quic = false\n").await.unwrap();
    let swallow = Swallow::at(world.relays()[0].address).await;

    let mut editor = Editor::open(&Ways::default(), world).await.unwrap();

    let first = *swallow.first.get().unwrap();
    let took = editor.stage.met_at.duration_since(first);
    assert!(took < QUIC_GIVES_UP, "the tools met {took:?} after the first datagram, as if they had waited for QUIC");
    type_and_check(&mut editor, ("tcp", "tcp")).await;
    editor.stage.end().await.unwrap();
}

/// A place where datagrams end without a word.
struct Swallow {
    /// When the first one came.
    first: Arc<OnceLock<Instant>>,
    task: JoinHandle<()>,
}

impl Swallow {
    async fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let first = Arc::new(OnceLock::new());
        let noted = Arc::clone(&first);
        let task = tokio::spawn(async move {
            while socket.recv_from(&mut [0; 2048]).await.is_ok() {
                noted.get_or_init(Instant::now);
            }
        });
        Self { first, task }
    }
}

impl Drop for Swallow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole session by these ways, that must be carried so: the operator's side first.
async fn goes(ways: &Ways, carried: (&str, &str)) {
    let mut editor = Editor::open(ways, World::start().await.unwrap()).await.unwrap();
    type_and_check(&mut editor, carried).await;
    editor.stage.end().await.unwrap();
}

async fn type_and_check(editor: &mut Editor, carried: (&str, &str)) {
    assert_eq!((editor.stage.operator_over.as_str(), editor.stage.client_over.as_str()), carried);
    for piece in PIECES {
        editor.type_piece(piece).await.unwrap();
    }
    editor.check().await.unwrap();
    let (operator, client) = editor.stage.carried_over().await.unwrap();
    assert_eq!((operator.as_str(), client.as_str()), carried, "nothing made the session move");
}

/// A tool with the session under way talks to this address and to no other.
fn assert_only_peer(tool: &Tool, address: SocketAddr) {
    let sockets = process::sockets(tool.id()).unwrap();
    assert!(!sockets.is_empty(), "a session is carried by something");
    for socket in sockets {
        assert_eq!((socket.is_udp, socket.peer), (false, address));
    }
}
