//! A filter as an operator types it: words in any order, all of which must hold.
//!
//! | word | connections |
//! |---|---|
//! | `10.0.0.0/8`, `2001:db8::1` | with such an address, at either end |
//! | `443`, `:443` | with this port, at either end |
//! | `time_wait`, `fin_wait_2/close_wait` | with either endpoint in this state, or with exactly this pair |
//! | `tcp`, `udp`, `icmp`, `icmpv6` | of this protocol |
//! | `source=`, `destination=`, `source-port=`, `destination-port=`, `protocol=`, `zone=`, `shard=`, `state=`, `address=`, `port=` | as the flags of `lastack list` |

use crate::control::Filter;

/// What may stand before an equals sign.
const KEYS: &str =
    "address, port, source, destination, source-port, destination-port, protocol, state, zone, shard";

/// The filter that `text` means.
///
/// # Errors
/// One clause: the word that means nothing, and what would.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((key, value)) => set(&mut filter, key, value)?,
            None => guess(&mut filter, word)?,
        }
    }
    Ok(filter)
}

/// What a word without a key means follows from its shape.
fn guess(filter: &mut Filter, word: &str) -> Result<(), String> {
    let port = word.strip_prefix(':').unwrap_or(word);
    if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() {
        return set(filter, "port", port);
    }
    for key in ["address", "protocol", "state"] {
        if set(filter, key, word).is_ok() {
            return Ok(());
        }
    }
    Err(format!("{word}: neither an address, nor a port, a state or a protocol"))
}

fn set(filter: &mut Filter, key: &str, value: &str) -> Result<(), String> {
    fn read<T: std::str::FromStr<Err: ToString>>(field: &mut Option<T>, value: &str) -> Result<(), String> {
        *field = Some(value.parse().map_err(|error: T::Err| error.to_string())?);
        Ok(())
    }
    let result = match key {
        "address" => read(&mut filter.address, value),
        "port" => read(&mut filter.port, value),
        "source" => read(&mut filter.source, value),
        "destination" => read(&mut filter.destination, value),
        "source-port" => read(&mut filter.source_port, value),
        "destination-port" => read(&mut filter.destination_port, value),
        "protocol" => read(&mut filter.protocol, value),
        "state" => read(&mut filter.state, value),
        "zone" => read(&mut filter.zone, value),
        "shard" => read(&mut filter.shard, value),
        _ => Err(format!("the keys are {KEYS}")),
    };
    result.map_err(|why| format!("{key}={value}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_it_looks_like() {
        let address = Filter { address: Some("10.0.0.0/8".parse().unwrap()), ..Filter::default() };
        assert_eq!(parse("10.0.0.0/8"), Ok(address));
        let v6 = Filter { address: Some("2001:db8::1".parse().unwrap()), ..Filter::default() };
        assert_eq!(parse("2001:db8::1"), Ok(v6));
        let port = Filter { port: Some(443), ..Filter::default() };
        assert_eq!(parse(" :443 "), Ok(port.clone()));
        assert_eq!(parse("443"), Ok(port));
        let state = Filter { state: Some("FIN_WAIT_2/CLOSE_WAIT".parse().unwrap()), ..Filter::default() };
        assert_eq!(parse("fin_wait_2/close_wait"), Ok(state));
        let protocol = Filter { protocol: Some("icmpv6".parse().unwrap()), ..Filter::default() };
        assert_eq!(parse("icmpv6"), Ok(protocol));
        assert_eq!(parse("  "), Ok(Filter::default()));
    }

    #[test]
    fn words_add_up_and_a_key_says_which_end_is_meant() {
        let filter = parse("tcp destination-port=80 source=10.0.0.1 zone=2").unwrap();
        assert_eq!(filter.destination_port, Some(80));
        assert_eq!(filter.zone, Some(2));
        assert!(filter.source.is_some() && filter.protocol.is_some() && filter.port.is_none());
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        assert_eq!(
            parse("tcp foo").unwrap_err(),
            "foo: neither an address, nor a port, a state or a protocol"
        );
        assert!(parse("99999").unwrap_err().starts_with("port=99999: "));
        assert!(parse("prot=1").unwrap_err().starts_with("prot=1: the keys are address, "));
        assert!(parse(":").is_err());
    }
}
