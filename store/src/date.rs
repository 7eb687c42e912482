//! Calendar days: how a page's folder is called. Proleptic Gregorian, UTC.

use crate::ids::PageId;

/// The folder name of a page: `2026-11-22`.
pub(crate) fn page_name(page: PageId) -> String {
    // Years are counted from March, so that the leap day is the last of its year.
    let days = i64::from(page.0) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The page whose folder has this name, if it is one.
pub(crate) fn parse_page_name(name: &str) -> Option<PageId> {
    let mut parts = name.splitn(3, '-');
    let year: i64 = parts.next()?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok()?;
    let day: i64 = parts.next()?.parse().ok()?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let (era, year_of_era) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let page = PageId(u32::try_from(era * 146_097 + day_of_era - 719_468).ok()?);
    // Only the one spelling that `page_name` writes, so that no two folders are one page.
    (page_name(page) == name).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_names() {
        for (page, name) in
            [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22"), (47_540, "2100-02-28")]
        {
            assert_eq!(page_name(PageId(page)), name);
            assert_eq!(parse_page_name(name), Some(PageId(page)));
        }
    }

    #[test]
    fn every_day_comes_back() {
        for page in 0..60_000 {
            assert_eq!(parse_page_name(&page_name(PageId(page))), Some(PageId(page)));
        }
    }

    #[test]
    fn other_names_are_no_pages() {
        for name in ["", "2026-11-31", "2026-1-2", "2026-11-22.old", "1969-12-31", "a-b-c", "2026-11"] {
            assert_eq!(parse_page_name(name), None, "{name}");
        }
    }
}
