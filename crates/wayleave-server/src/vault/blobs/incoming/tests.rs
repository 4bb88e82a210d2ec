//! Bodies as they may come.

use axum::body::Body;
use http_body_util::Limited;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Frame;

use super::*;

const STALL: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

fn incoming(body: &mut Body) -> Incoming<'_> {
    Incoming::new(body, None, STALL, Instant::now() + WHOLE)
}

fn code<T>(outcome: Result<T, ApiError>) -> ErrorCode {
    outcome.err().expect("refused").code()
}

/// A body, and the end that somebody writes to.
fn piped() -> (Sender<Bytes, std::io::Error>, Body) {
    let (sender, channel) = Channel::new(1);
    (sender, Body::new(channel))
}

#[tokio::test]
async fn bodies_are_cut_at_the_same_places_however_they_come() {
    let content: Vec<u8> = (0..=255).cycle().take(2 * MAX_PIECE + 1000).collect();
    for chunk in [1000, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE] {
        let (mut sender, mut body) = piped();
        let chunks: Vec<_> = content.chunks(chunk).map(Bytes::copy_from_slice).collect();
        tokio::spawn(async move {
            for chunk in chunks {
                sender.send_data(Bytes::new()).await.unwrap();
                sender.send_data(chunk).await.unwrap();
            }
            sender.send(Frame::trailers(http::HeaderMap::new())).await.unwrap();
        });
        let mut incoming = incoming(&mut body);
        let mut pieces = Vec::new();
        while let Some(piece) = incoming.piece().await.unwrap_or_else(|_| panic!("refused")) {
            pieces.push(piece);
        }
        let lengths: Vec<_> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_PIECE, MAX_PIECE, 1000], "in chunks of {chunk}");
        assert!(pieces.concat() == content);
    }
}

#[tokio::test]
async fn nothing_is_no_piece() {
    assert!(matches!(incoming(&mut Body::empty()).piece().await, Ok(None)));
}

/// A76: what grows past the limit ends there.
#[tokio::test]
async fn a_body_that_grows_is_refused() {
    let content = Bytes::from(vec![1; MAX_PIECE + 1]);
    let mut body = Body::new(Limited::new(Body::from(content.clone()), MAX_PIECE + 1));
    let mut fits = incoming(&mut body);
    assert!(matches!(fits.piece().await, Ok(Some(piece)) if piece.len() == MAX_PIECE));
    assert!(matches!(fits.piece().await, Ok(Some(piece)) if piece.len() == 1));
    let mut body = Body::new(Limited::new(Body::from(content), MAX_PIECE));
    let mut grows = incoming(&mut body);
    assert_eq!(code(grows.piece().await), ErrorCode::BlobTooLarge);
}

#[tokio::test]
async fn a_client_that_breaks_off_is_noticed() {
    let (mut sender, mut body) = piped();
    sender.send_data(Bytes::from_static(b"half")).await.unwrap();
    sender.abort(std::io::ErrorKind::ConnectionReset.into());
    assert_eq!(code(incoming(&mut body).piece().await), ErrorCode::BadRequest);
}

/// A76: neither a client that stops nor one that drips is waited for.
#[tokio::test(start_paused = true)]
async fn slow_bodies_are_given_up_on() {
    let (sender, mut body) = piped();
    let started = Instant::now();
    assert_eq!(code(incoming(&mut body).piece().await), ErrorCode::RequestTimeout);
    assert_eq!(started.elapsed(), STALL);
    drop(sender);

    let (mut sender, mut body) = piped();
    let drip = tokio::spawn(async move {
        while sender.send_data(Bytes::from_static(b".")).await.is_ok() {
            tokio::time::timeout(STALL / 2, std::future::pending::<()>()).await.unwrap_err();
        }
    });
    let started = Instant::now();
    assert_eq!(code(incoming(&mut body).piece().await), ErrorCode::RequestTimeout);
    assert_eq!(started.elapsed(), WHOLE);
    drop(body);
    drip.await.unwrap();
}
