//! Too many at once, and no room on the disk: the client is told to come back, its session goes on,
//! and what comes back is taken.

use crate::support::delivered::tags;
use crate::support::disk::Disk;
use crate::support::postfix;

use super::site::{ANNA, SUPPORT, Site, bytes, letter};

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_we_bear() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|plan| plan.settings.connections_max = 1).await;
    let mut first = site.client().await;
    let mut second = site.client().await;
    let reply = second.say(&format!("MAIL FROM:<{ANNA}>")).await;
    assert_eq!(reply.code, 451, "{reply:?}");
    assert!(reply.text.starts_with("4.3.2 "), "{reply:?}");
    assert_eq!(second.say("NOOP").await.code, 250);
    let message = bytes(&letter("first", ""));
    let reply = first.send(ANNA, &[SUPPORT], &message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    site.next().await;

    first.say("QUIT").await;
    let message = bytes(&letter("second", ""));
    while second.send(ANNA, &[SUPPORT], &message).await.code != 250 {}
    assert_eq!(tags(&site.next().await).queue, "support");
    site.expect_filed(&["first", "second"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_on_our_disk() {
    if !postfix::is_here() {
        return;
    }
    let mut disk = None;
    let site = Site::open(|plan| disk = Disk::mount(&plan.settings.data_dir, 64)).await;
    let Some(disk) = disk else {
        return;
    };
    let large = |id: &str| bytes(&(letter(id, "") + &"Where, please?\n".repeat(100_000)));
    let mut client = site.client().await;
    disk.fill();
    for _ in 0..2 {
        let reply = client.send(ANNA, &[SUPPORT], &large("large")).await;
        assert!(matches!(reply.code, 451 | 452), "{reply:?}");
        assert!(reply.text.starts_with("4.3."), "{reply:?}");
    }
    site.expect_filed(&[]).await;
    disk.empty();
    // By itself, and on the connection that was there all the time.
    while client.send(ANNA, &[SUPPORT], &large("large")).await.code != 250 {}
    assert_eq!(tags(&site.next().await).queue, "support");
    site.expect_filed(&["large"]).await;
    // Unmounting comes after the gateway.
    drop(site);
    drop(disk);
}
