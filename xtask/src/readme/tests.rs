//! Tests of the tour: what runs, what counts as the same, and that a wrong line is noticed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::blocks::{MalformedBlock, blocks};
use super::masks::mask;
use super::*;

fn tour_of(markdown: &str) -> Summary {
    let here = std::env::current_exe().unwrap();
    walk(markdown, here.parent().unwrap()).unwrap()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn commands_share_one_session_in_an_empty_folder() {
    let summary = tour_of(
        "text\n```console\n$ ls -A\n$ name=wayleave; mkdir inner && cd inner\n```\n\n\
         - in a list:\n\n  ```console\n  $ echo \"$name\" \\\n  again; basename \"$PWD\"\n  wayleave again\n  inner\n\n  ```\n\
         ```console no-run\n$ exit 3\n```\n```sh\n$ exit 4\n```\n",
    );
    assert_eq!(summary.mismatches, [""; 0]);
    assert_eq!(summary.commands, 3);
}

#[test]
fn a_wrong_line_is_reported_with_its_place_and_difference() {
    let summary = tour_of("# Title\n```console\n$ printf 'one\\ntwo\\nthree'\none\n2\nthree\n$ true\n```\n");
    assert_eq!(
        summary.mismatches,
        ["README.md:3: `printf 'one\\ntwo\\nthree'` printed something else\n\
          --- README.md:3\n+++ this run\n one\n-2\n+two\n three"]
    );
    assert_eq!(summary.commands, 2);
}

#[test]
fn missing_and_additional_output_are_differences() {
    assert_eq!(tour_of("```console\n$ true\nsomething\n```").mismatches.len(), 1);
    assert_eq!(tour_of("```console\n$ echo something\n```").mismatches.len(), 1);
    assert_eq!(tour_of("```console\n$ echo wrong >&2\n```").mismatches.len(), 1);
}

#[test]
fn a_failure_is_a_mismatch_unless_the_block_allows_it() {
    assert_eq!(tour_of("```console\n$ false\n```").mismatches, ["README.md:2: `false` failed"]);
    assert_eq!(tour_of("```console may-fail\n$ false\n```").mismatches, [""; 0]);
    assert_eq!(tour_of("```console\n$ echo 'unclosed\n```").mismatches.len(), 1);
}

#[test]
fn a_command_that_ends_the_shell_is_an_error() {
    let here = std::env::current_exe().unwrap();
    let ended = walk("```console\n$ exit 0\n```", here.parent().unwrap());
    assert!(matches!(ended, Err(Problem::NoAnswer { line: 2, what: _ })));
}

#[test]
fn text_without_a_tour_is_an_error() {
    let here = std::env::current_exe().unwrap();
    assert!(matches!(walk("# Nothing\n", here.parent().unwrap()), Err(Problem::Malformed { line: 1, .. })));
    let what = "output stands before the first command";
    assert_eq!(blocks("```console\nhello\n$ true\n```"), Err(MalformedBlock { line: 2, what }));
    assert_eq!(blocks("a\n```console\n$ true\n"), Err(MalformedBlock { line: 2, what: "this block never ends" }));
}

/// The server of the next test: does nothing unless that test runs it.
#[test]
#[ignore = "serves the test of background commands, which runs it as a program"]
fn answering_server() {
    let Some(address) = std::env::var_os("TOUR_TEST_LISTEN") else { return };
    let listener = TcpListener::bind(&*address.to_string_lossy()).unwrap();
    println!("\nlistening on {}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok_and(|length| length > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nup\n").unwrap();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn serving_tour(port: u16) -> Summary {
    let program = std::env::current_exe().unwrap();
    let program = program.display();
    tour_of(&format!(
        "```console\n\
         $ TOUR_TEST_LISTEN=127.0.0.1:{port} {program} --exact readme::tests::answering_server --ignored --nocapture &\n\
         ...\nlistening on 127.0.0.1:{port}\n$ curl -s http://localhost:{port}/\nup\n```"
    ))
}

#[test]
fn a_background_command_is_waited_for_and_ended() {
    let port = free_port();
    assert_eq!(serving_tour(port).mismatches, [""; 0]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the server outlived the tour");
}

#[test]
fn a_tour_moves_away_from_a_taken_port() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(serving_tour(holder.local_addr().unwrap().port()).mismatches, [""; 0]);
}

#[test]
fn a_background_command_that_ends_is_a_mismatch() {
    let port = free_port();
    let wrong = tour_of(&format!("```console\n$ sh -c 'echo no; exit 1' &\nup on 127.0.0.1:{port}\n```"));
    assert_eq!(wrong.mismatches.len(), 1);
    assert!(wrong.mismatches.concat().contains("ended\n---"), "{wrong:?}");
}

#[test]
fn the_project_s_own_serve_job_means_the_binary() {
    assert_eq!(program("cargo xtask serve --config a.toml"), "wayleave serve --config a.toml");
    assert_eq!(program("echo cargo xtask serve"), "echo cargo xtask serve");
}

#[test]
fn changing_values_are_masked_and_others_stay() {
    let table = [
        ("\"token\":\"wl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ\"", "\"token\":\"wl_<random>\""),
        ("rt_... and wl_…", "rt_<random> and wl_<random>"),
        ("{\"id\":\"sess_0123456789abcdefABCDEF-_\"}", "{\"id\":\"sess_<random>\"}"),
        ("until 2031-02-03T04:05:06.789Z.", "until <time>."),
        ("2031-02-03 04:05:06+00:00 x", "<time> x"),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Date: <time>"),
        ("\"expires_in\":899,\"idle_seconds\": 12", "\"expires_in\":<seconds>,\"idle_seconds\":<seconds>"),
        ("ready in 0.8 s, then 35ms", "ready in <duration>, then <duration>"),
        ("0123456789abcdef0123 AbCdEfGhIjKlMnOpQrSt==", "<random> <random>"),
        ("insufficient_user_authentication session_expires_at", "insufficient_user_authentication session_expires_at"),
        ("Max-Age=86400; HTTP/1.1 200 OK on 127.0.0.1:8080", "Max-Age=86400; HTTP/1.1 200 OK on 127.0.0.1:8080"),
        ("not-a-date 2031-02-03", "not-a-date 2031-02-03"),
        ("Größe: 5 sessions", "Größe: 5 sessions"),
    ];
    for (line, masked) in table {
        assert_eq!(mask(line), masked, "{line}");
    }
}

#[test]
fn dots_stand_for_lines_and_for_text() {
    let same = |expected, actual| compare::difference(&lines(expected), &lines(actual)).is_none();
    assert!(same("a\n...\nd", "a\nb\nc\nd"));
    assert!(same("a\n...\nd", "a\nd\n\n"));
    assert!(same("...", ""));
    assert!(!same("a\n...\nd", "a\nb\nc"));
    assert!(same("{\"id\":...,\"name\":\"x\"...}", "{\"id\":7,\"name\":\"x\",\"b\":1}"));
    assert!(!same("{\"id\":...,\"name\":\"x\"}", "{\"id\":7,\"name\":\"y\"}"));
    assert!(same("wl_...", "wl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ"));
    assert!(!same("rt_...", "wl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ"));
}

#[test]
fn the_difference_keeps_what_is_the_same() {
    let difference = compare::difference(&lines("a\nb\nc"), &lines("a\nx\nc\nd")).unwrap();
    assert_eq!(difference, [" a", "-b", "+x", " c", "+d"]);
}
