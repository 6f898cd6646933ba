//! The MainNumber: a case's number as people see it, read it over the telephone and type it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A case's number as people see it: the serial number, which is the case's identity, and one
/// check digit after Damm, which catches every single wrong digit and every swap of neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MainNumber(u64);

impl MainNumber {
    /// Largest serial number: it travels as 48 bits in tokens. At a thousand cases a second it
    /// lasts 8,900 years.
    pub const SERIAL_MAX: u64 = (1 << 48) - 1;

    /// Digits of the longest number: 15 of the largest serial and the check digit.
    const DIGITS_MAX: usize = 16;

    /// The number of the case with this serial number, from 1 to [`Self::SERIAL_MAX`].
    #[must_use]
    pub const fn new(serial: u64) -> Option<Self> {
        if serial >= 1 && serial <= Self::SERIAL_MAX {
            Some(Self(serial))
        } else {
            None
        }
    }

    /// The serial number, without the check digit: the case's identity.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MainNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let check = damm(digits.bytes().map(|b| b - b'0'));
        write!(f, "{digits}{check}")
    }
}

impl fmt::Debug for MainNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MainNumber {
    type Err = MainNumberError;

    /// Reads digits only. A leading zero is refused, because the check digit does not see it and
    /// one case must have one number.
    fn from_str(text: &str) -> Result<Self, MainNumberError> {
        let plain = (2..=Self::DIGITS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && !text.starts_with('0');
        if !plain {
            return Err(MainNumberError::Malformed);
        }
        if damm(text.bytes().map(|b| b - b'0')) != 0 {
            return Err(MainNumberError::CheckDigit);
        }
        text.get(..text.len() - 1)
            .and_then(|serial| serial.parse().ok())
            .and_then(Self::new)
            .ok_or(MainNumberError::Malformed)
    }
}

impl TryFrom<u64> for MainNumber {
    type Error = MainNumberError;

    /// From the serial number.
    fn try_from(serial: u64) -> Result<Self, MainNumberError> {
        Self::new(serial).ok_or(MainNumberError::Malformed)
    }
}

impl From<MainNumber> for u64 {
    fn from(number: MainNumber) -> Self {
        number.serial()
    }
}

/// Why a text is no MainNumber. Nothing was looked up; the caller must give another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainNumberError {
    /// Not 2 to 16 digits without a leading zero.
    Malformed,
    /// A digit is wrong or two are swapped.
    CheckDigit,
}

impl fmt::Display for MainNumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a case number (2 to 16 digits, the first not 0)",
            Self::CheckDigit => "not a case number: the check digit does not fit, look for a typo",
        })
    }
}

impl std::error::Error for MainNumberError {}

/// The interim digit after all digits: the check digit to append, and 0 for a number that ends
/// in its own. (H. M. Damm, Total anti-symmetrische Quasigruppen, Marburg 2004.)
fn damm(digits: impl Iterator<Item = u8>) -> u8 {
    const TABLE: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    digits.fold(0, |interim, digit| {
        TABLE
            .get(usize::from(interim))
            .and_then(|row| row.get(usize::from(digit)))
            .copied()
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        // 572 → 4 is the example that every description of the algorithm gives.
        for (serial, text) in [(572, "5724"), (1, "13"), (1_000_471, "10004710")] {
            let number = MainNumber::new(serial).unwrap();
            assert_eq!(number.to_string(), text);
            assert_eq!(text.parse(), Ok(number));
        }
        for text in [
            "", "4", "572", "05724", "5725", "5274", "57 24", "+5724", "٥٧٢٤",
        ] {
            assert!(text.parse::<MainNumber>().is_err(), "{text:?}");
        }
        assert_eq!(
            "5725".parse::<MainNumber>(),
            Err(MainNumberError::CheckDigit)
        );
        assert_eq!(MainNumber::new(0), None);
        assert_eq!(MainNumber::new(1 << 48), None);
        let largest = MainNumber::new(MainNumber::SERIAL_MAX).unwrap();
        assert_eq!(largest.to_string().len(), MainNumber::DIGITS_MAX);
        assert_eq!(largest.to_string().parse(), Ok(largest));
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_typos_do_not(serial in 1..=MainNumber::SERIAL_MAX, at in 0usize..16, digit in 0u8..10) {
            let number = MainNumber::new(serial).unwrap();
            let text = number.to_string();
            prop_assert_eq!(text.parse::<MainNumber>(), Ok(number));
            let mut typo = text.clone().into_bytes();
            let at = at % typo.len();
            typo[at] = b'0' + digit;
            let typo = String::from_utf8(typo).unwrap();
            if typo != text {
                prop_assert!(typo.parse::<MainNumber>().is_err());
            }
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, (at + 1).min(text.len() - 1));
            let swapped = String::from_utf8(swapped).unwrap();
            if swapped != text {
                prop_assert!(swapped.parse::<MainNumber>().is_err());
            }
        }
    }
}
