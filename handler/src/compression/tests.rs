//! What is deflated is inflated again, in pieces of any size and over rests; what is broken is found; memory is bounded.

mod any_octets;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;

use super::deflate::Deflater;
use super::inflate::{Broken, Inflater};

/// What a client's compressor makes of `octets`, flushed.
fn deflated(deflater: &mut Deflater, octets: &[u8]) -> Vec<u8> {
    deflater.push(octets);
    deflater.flush();
    let wire = deflater.unsent().to_vec();
    deflater.advance(wire.len());
    wire
}

/// Octets that no compressor makes smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn all_of(inflater: &mut Inflater) -> Result<Vec<u8>, Broken> {
    let mut all = Vec::new();
    while inflater.inflate(&mut all)? {}
    Ok(all)
}

#[test]
fn what_goes_in_comes_out_however_it_is_cut_and_with_rests_between() {
    let mut deflater = Deflater::default();
    let mut inflater = Inflater::default();
    let noise = noise(70_000);
    for round in 0..40 {
        let lines = format!("a{round} FETCH 1:* (FLAGS UID)\r\n").repeat(1 + round * 50);
        let mut octets = lines.into_bytes();
        if round % 7 == 3 {
            octets.extend_from_slice(&noise);
        }
        let wire = deflated(&mut deflater, &octets);
        let mut back = Vec::new();
        for piece in wire.chunks(1 + round * 97) {
            inflater.extend(piece);
            back.append(&mut all_of(&mut inflater).expect("well compressed"));
        }
        assert!(back == octets, "round {round}");
        if round % 3 == 1 {
            inflater.rest();
            deflater.rest();
        }
    }
}

#[test]
fn it_goes_on_elsewhere_between_any_two_flushes() {
    let mut deflater = Deflater::default();
    let mut inflater = Inflater::default();
    for round in 0..60 {
        let octets = format!("a{round} FETCH 1:* (FLAGS UID)\r\n").repeat(1 + round * 40).into_bytes();
        let wire = deflated(&mut deflater, &octets);
        inflater.extend(&wire[..wire.len() / 2]);
        let mut back = all_of(&mut inflater).expect("well compressed");
        inflater.extend(&wire[wire.len() / 2..]);
        assert!(!inflater.can_be_kept() && inflater.keep().is_none(), "round {round}: there is more to come");
        back.append(&mut all_of(&mut inflater).expect("well compressed"));
        assert!(back == octets, "round {round}");
        if round % 2 == 1 {
            inflater.rest();
        }
        let kept = inflater.keep().expect("all is understood");
        inflater = Inflater::resume(&kept).expect("what was kept");
    }
    for nonsense in [&[][..], &[1], &[8, 0], &[0, 1], &[3, 0x20], &[0; 2 + 32 * 1024 + 1]] {
        assert!(Inflater::resume(nonsense).is_none(), "{} octets", nonsense.len());
    }
}

#[test]
fn a_bomb_comes_out_in_small_pieces() {
    let wire = compress_to_vec(&vec![b'a'; 50_000_000], 9);
    assert!(wire.len() < 100_000);
    let mut inflater = Inflater::default();
    inflater.extend(&wire);
    let (mut total, mut piece) = (0, Vec::new());
    while inflater.inflate(&mut piece).expect("well compressed") {
        assert!(piece.len() <= 16 * 1024);
        total += piece.len();
        piece.clear();
        assert!(inflater.held_octets() < 256 * 1024);
    }
    assert_eq!(total + piece.len(), 50_000_000);
}

#[test]
fn what_is_no_deflate_is_refused_and_so_is_what_follows_its_end() {
    let mut inflater = Inflater::default();
    inflater.extend(b"a1 NOOP\r\n");
    assert_eq!(all_of(&mut inflater), Err(Broken));
    let mut wire = compress_to_vec(b"a1 NOOP\r\n", 6);
    let mut inflater = Inflater::default();
    inflater.extend(&wire);
    assert_eq!(all_of(&mut inflater), Ok(b"a1 NOOP\r\n".to_vec()));
    wire.push(b'a');
    let mut inflater = Inflater::default();
    inflater.extend(&wire);
    assert_eq!(all_of(&mut inflater), Err(Broken));
}

#[test]
fn compression_ends_behind_the_command_that_says_so() {
    let plain = b"a2 LOGIN ann secret\r\n";
    let by_flush = deflated(&mut Deflater::default(), b"a1 UNAUTHENTICATE\r\n");
    let by_end = compress_to_vec(b"a1 UNAUTHENTICATE\r\n", 6);
    for wire in [by_flush, by_end] {
        for cut in 0..=wire.len() {
            let mut inflater = Inflater::default();
            let mut read = Vec::new();
            inflater.extend(&wire[..cut]);
            while inflater.inflate(&mut read).expect("well compressed") && !read.ends_with(b"\n") {}
            let rest = [&wire[cut..], plain].concat();
            if !read.ends_with(b"\n") {
                inflater.extend(&rest);
                while inflater.inflate(&mut read).expect("well compressed") && !read.ends_with(b"\n") {}
                assert_eq!(read, b"a1 UNAUTHENTICATE\r\n");
                assert_eq!(inflater.end(), Ok(Some(plain.to_vec())), "cut at {cut}");
                continue;
            }
            // The command was read before all of the stream had come.
            let early = inflater.end().expect("well compressed");
            inflater.extend(&rest);
            let behind = match early {
                Some(mut octets) => {
                    octets.extend_from_slice(&rest);
                    octets
                }
                None => inflater.end().expect("well compressed").expect("all has come"),
            };
            assert!(behind.ends_with(plain), "cut at {cut}: {behind:?}");
        }
    }
}

#[test]
fn a_resting_session_keeps_what_the_client_may_refer_to_and_no_more() {
    let mut deflater = Deflater::default();
    let mut inflater = Inflater::default();
    for round in 0..2000 {
        inflater
            .extend(&deflated(&mut deflater, format!("a{round} UID FETCH {round}:* (FLAGS)\r\n").as_bytes()));
        all_of(&mut inflater).expect("well compressed");
    }
    inflater.rest();
    assert!(inflater.held_octets() < 8 * 1024, "{}", inflater.held_octets());
    inflater.extend(&deflated(&mut deflater, b"a1999 UID FETCH 1999:* (FLAGS)\r\n"));
    assert_eq!(all_of(&mut inflater), Ok(b"a1999 UID FETCH 1999:* (FLAGS)\r\n".to_vec()));
}

#[test]
fn octets_that_do_not_become_smaller_are_stored() {
    let noise = noise(100_000);
    let text = b"* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(100);
    let mut deflater = Deflater::default();
    deflater.push(&text);
    assert!(!deflater.try_push(&noise[..16_384]));
    deflater.store(&noise[16_384..]);
    deflater.push(&text);
    assert!(deflater.try_push(&text));
    deflater.finish();
    let wire = deflater.unsent();
    assert!(wire.len() < noise.len() + 1000, "{}", wire.len());
    let back = decompress_to_vec(wire).expect("well compressed");
    assert!(back == [&text[..], &noise, &text, &text].concat());
}
