//! `NAME.json` beside `NAME.eml`: the parse results of Stalwart's mail-parser.
//!
//! A message is a list of parts, the first the message itself; a multipart names its parts by their indices, an enclosed message has
//! a list of its own. Headers have offsets and decoded values, leaves their decoded content, all parts their offsets.

use message::search::part_text;
use message::{Encoding, HeaderKind, Media, PartKind, Record, header_fields};
use serde_json::Value as Json;

use crate::Differences;
use crate::ours::{self, Part, addresses, child, parts, value};

pub(crate) fn compare(expected: &[u8], message: &[u8], differences: &mut Differences) {
    let expected: Json = serde_json::from_slice(expected).expect("expected output is JSON");
    // The offsets are those of the message with bare line feeds, whatever the file has.
    let message = &without_crs(message);
    let encoded = ours::record(message);
    let record = Record::parse(&encoded).expect("a new record parses");
    let ours = parts(&record);
    let mut waiting = vec![(String::new(), &expected["parts"], 0)];
    while let Some((name, list, index)) = waiting.pop() {
        let want = &list[index];
        // What is missing has been found by the number of parts around it.
        let Some(got) = ours.iter().find(|part| part.name == name) else { continue };
        compare_part(want, got, message, differences);
        if let Some(indices) = want["body"]["Multipart"].as_array() {
            let inside = indices.iter().enumerate();
            waiting.extend(inside.map(|(at, index)| (child(&name, at + 1), list, number(index))));
        } else if !want["body"]["Message"].is_null() {
            waiting.push((child(&name, 0), &want["body"]["Message"]["parts"], 0));
        }
    }
    compare_top(&expected["parts"][0]["headers"], &record, differences);
}

fn compare_part(want: &Json, got: &Part<'_>, message: &[u8], differences: &mut Differences) {
    let name = &got.name;
    let body = want["body"].as_object().and_then(|body| body.iter().next());
    let (kind, content) = body.expect("a part has a body");
    let children = match kind.as_str() {
        "Multipart" => content.as_array().map_or(0, Vec::len),
        "Message" => 1,
        _ => 0,
    };
    let want_kind = match kind.as_str() {
        "Multipart" => PartKind::Multipart,
        "Message" => PartKind::Message,
        _ => PartKind::Leaf,
    };
    differences.check(name, "kind", (want_kind, children), (got.section.kind, got.children));
    if let Some(media) = media(&want["headers"]) {
        differences.check(name, "media", media.as_str(), &got.media);
    }
    let [header, body, end] = ["offset_header", "offset_body", "offset_end"].map(|key| number(&want[key]));
    let section = &got.section;
    let header_range = section.header.start as usize..section.header.end as usize;
    let body_range = section.body.start as usize..section.body.end as usize;
    differences.check(name, "header start", header, header_range.start);
    differences.check(name, "body start", body, body_range.start);
    differences.check(name, "body end", end, body_range.end);
    compare_fields(&want["headers"], name, message, &message[header_range], differences);
    if want_kind != PartKind::Leaf || section.kind != PartKind::Leaf {
        return;
    }
    let want_media = match kind.as_str() {
        "Text" => Media::Text,
        "Html" => Media::Html,
        _ => Media::Other,
    };
    differences.check(name, "content kind", want_media, section.media);
    let raw = &message[body_range];
    match content {
        Json::String(text) => {
            let got = part_text(raw, section.encoding, section.charset, Media::Text);
            differences.check(name, "text", text.as_str(), &got);
        }
        octets => {
            let octets: Vec<u8> =
                octets.as_array().into_iter().flatten().map(|octet| number(octet) as u8).collect();
            // One octet is one character in this charset.
            let got = part_text(raw, section.encoding, "windows-1252", Media::Text);
            let want = part_text(&octets, Encoding::Identity, "windows-1252", Media::Text);
            differences.check(name, "octets", want, got);
        }
    }
}

/// The fields of a header are those expected, octet for octet and in the same order.
fn compare_fields(headers: &Json, part: &str, message: &[u8], header: &[u8], differences: &mut Differences) {
    let headers = headers.as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<String> = headers.iter().map(|header| field_name(&header["name"])).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let mut want = Vec::new();
    for header in headers {
        want.extend_from_slice(&message[number(&header["offset_field"])..number(&header["offset_end"])]);
    }
    if !headers.is_empty() && !want.ends_with(b"\n") {
        want.extend_from_slice(b"\r\n");
    }
    want.extend_from_slice(b"\r\n");
    let mut got = Vec::new();
    header_fields(header, &names, false, &mut got);
    differences.check(part, "fields", String::from_utf8_lossy(&want), String::from_utf8_lossy(&got));
    let mut others = Vec::new();
    header_fields(header, &names, true, &mut others);
    differences.check(part, "other fields", "\r\n".into(), String::from_utf8_lossy(&others));
}

/// Known names are written with underlines, others as they are.
fn field_name(name: &Json) -> String {
    match name {
        Json::String(known) => known.replace('_', "-"),
        other => other["other"].as_str().unwrap_or_default().to_owned(),
    }
}

fn media(headers: &Json) -> Option<String> {
    let value = &values(headers, "content_type").last()?["ContentType"];
    let part = |key: &str| value[key].as_str().unwrap_or_default().to_ascii_lowercase();
    Some(format!("{}/{}", part("c_type"), part("c_subtype")))
}

/// Subject, addresses, date and Message-ID of the message itself.
fn compare_top(headers: &Json, record: &Record<'_>, differences: &mut Differences) {
    let envelope = value(&mut record.envelope());
    let subjects: Vec<_> =
        values(headers, "subject").map(|value| value["Text"].as_str().unwrap_or("")).collect();
    differences.check("", "subject", subjects.join("\n").as_str(), record.search_text(HeaderKind::Subject));
    for (key, index) in [("from", 2), ("to", 5), ("cc", 6), ("bcc", 7)] {
        let want: Vec<_> =
            values(headers, key).flat_map(|value| expected_addresses(&value["Address"])).collect();
        differences.check("", key, want, addresses(&envelope.list()[index]));
    }
    let want = values(headers, "date").next().and_then(|value| date(&value["DateTime"]));
    let got = record.sent().map(|sent| (sent.seconds, i64::from(sent.zone_minutes)));
    differences.check("", "date", want, got);
    let want = values(headers, "message_id").next().and_then(|value| value["Text"].as_str());
    let want = want.filter(|id| id.contains('@')).map(|id| xxhash_rust::xxh3::xxh3_64(id.as_bytes()));
    differences.check("", "message-id", want, record.message_id());
}

fn values<'a>(headers: &'a Json, name: &'a str) -> impl Iterator<Item = &'a Json> {
    let headers = headers.as_array().into_iter().flatten();
    headers.filter(move |header| header["name"].as_str() == Some(name)).map(|header| &header["value"])
}

/// Where there is no address, what is written in its place.
fn expected_addresses(value: &Json) -> Vec<String> {
    let groups = value["Group"].as_array().into_iter().flatten().map(|group| &group["addresses"]);
    let lists = std::iter::once(&value["List"]).chain(groups);
    lists
        .flat_map(|list| list.as_array().into_iter().flatten())
        .filter_map(|address| address["address"].as_str().or(address["name"].as_str()).map(str::to_owned))
        .collect()
}

/// Seconds since 1970-01-01T00:00:00Z and minutes east of UTC.
fn date(value: &Json) -> Option<(i64, i64)> {
    let part = |key: &str| value[key].as_i64();
    let (year, month, day) = (part("year")?, part("month")?, part("day")?);
    let zone = part("tz_hour")? * 60 + part("tz_minute")?;
    let zone = if value["tz_before_gmt"].as_bool()? { -zone } else { zone };
    // Days by a count of months that begins in March, so that the leap day is the last of its year.
    let months = year * 12 + month - 3;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    let clock = part("hour")? * 3600 + part("minute")? * 60 + part("second")?;
    Some((days * 86_400 + clock - zone * 60, zone))
}

fn without_crs(message: &[u8]) -> Vec<u8> {
    let is_cr_of_line_end = |at: usize| message[at..].starts_with(b"\r\n");
    (0..message.len()).filter(|&at| !is_cr_of_line_end(at)).map(|at| message[at]).collect()
}

fn number(value: &Json) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number")
}
