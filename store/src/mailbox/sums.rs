//! Checks of those parts of a cells file that change: the flags of a cell, a block's summary, the header. They stand between a
//! flipped bit and a client, and are made and compared without a lock, at a few nanoseconds each.
//!
//! A check is the upper bits of Σ wordᵢ · factorᵢ modulo 2^64. A flipped bit of word *i* changes the sum by ± factorᵢ · 2^b.
//! No factor has 12 equal bits side by side, and all are odd: so that difference has neither only zeros nor only ones among
//! its upper 13 bits, and the upper 16 (and more so the upper 24 or 32) bits of the sum are others. Every single flipped bit is
//! found; of other damage, all but one in 2^16, 2^24 or 2^32.

/// Odd numbers without order, without 12 equal bits side by side.
const FACTORS: [u64; 16] = [
    0x9362_da5c_c13d_a58b,
    0xf6fa_dfa7_e5c1_5b63,
    0x7e6d_dce7_a7ac_e733,
    0x2c63_888f_28f0_0481,
    0x8f7b_7676_d015_b0dd,
    0x8a11_9b9e_16bc_1733,
    0x609e_467a_da67_9f81,
    0xbc67_ba94_637d_6efb,
    0x0787_c0de_2f96_0063,
    0xfab3_6728_a78b_eb7f,
    0x19d5_2695_12e7_4f7b,
    0xa712_755f_6cac_e4d5,
    0xba2d_de83_458b_fed1,
    0xac8e_fe12_1c59_89f1,
    0x0d97_82bf_cdc8_3011,
    0x5796_a670_482c_590f,
];

const fn is_fit(factor: u64) -> bool {
    let mut run = 0;
    let mut bit = 0;
    let mut last = 2;
    while bit < 64 {
        let now = factor >> bit & 1;
        run = if now == last { run + 1 } else { 1 };
        if run >= 12 {
            return false;
        }
        last = now;
        bit += 1;
    }
    factor & 1 == 1
}

const _: () = {
    let mut at = 0;
    while at < FACTORS.len() {
        assert!(is_fit(FACTORS[at]));
        at += 1;
    }
};

#[inline]
fn sum<const COUNT: usize>(words: [u64; COUNT]) -> u64 {
    const { assert!(COUNT <= FACTORS.len()) };
    let mut sum = 0u64;
    for (word, factor) in words.iter().zip(FACTORS) {
        sum = sum.wrapping_add(word.wrapping_mul(factor));
    }
    sum
}

/// 24 bits for what changes in a cell, and the UID that it belongs to.
#[inline]
pub(super) fn of_flags(uid: u32, word: u32, keywords: u64, modseq: u64, expunged_at: u32) -> u32 {
    let first = u64::from(uid) | u64::from(word) << 32;
    (sum([first, keywords, modseq, u64::from(expunged_at)]) >> 40) as u32
}

/// 16 bits for a block's summary.
#[inline]
pub(super) fn of_summary(words: [u64; 8]) -> u16 {
    (sum(words) >> 48) as u16
}

/// 32 bits for the header.
#[inline]
pub(super) fn of_header(words: [u64; 14]) -> u32 {
    (sum(words) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_gives_another_check() {
        let mut word = 0x1234_5678_9abc_def1u64;
        for _ in 0..50 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let words: [u64; 14] =
                std::array::from_fn(|at| word.rotate_left(at as u32 * 5) & (u64::MAX << (at % 9)));
            let short: [u64; 8] = std::array::from_fn(|at| words[at]);
            for at in 0..14 {
                for bit in 0..64 {
                    let mut flipped = words;
                    flipped[at] ^= 1 << bit;
                    assert_ne!(of_header(flipped), of_header(words));
                    if at < 8 {
                        let mut flipped = short;
                        flipped[at] ^= 1 << bit;
                        assert_ne!(of_summary(flipped), of_summary(short));
                    }
                }
            }
            let [uid, flags] = [word as u32, (word >> 32) as u32];
            let whole = of_flags(uid, flags, words[3], words[4], uid / 7);
            assert!(whole < 1 << 24);
            for bit in 0..64 {
                assert_ne!(of_flags(uid, flags, words[3] ^ 1 << bit, words[4], uid / 7), whole);
                assert_ne!(of_flags(uid, flags, words[3], words[4] ^ 1 << bit, uid / 7), whole);
                if bit < 32 {
                    assert_ne!(of_flags(uid ^ 1 << bit, flags, words[3], words[4], uid / 7), whole);
                    assert_ne!(of_flags(uid, flags ^ 1 << bit, words[3], words[4], uid / 7), whole);
                    assert_ne!(of_flags(uid, flags, words[3], words[4], (uid / 7) ^ (1 << bit)), whole);
                }
            }
        }
        assert_eq!(of_summary([0; 8]), 0, "a block without cells is zero");
    }
}
