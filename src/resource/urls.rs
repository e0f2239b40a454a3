//! URLs that hooks post to, and the patterns by which an Environment lists them.
//!
//! A URL is taken apart by the parser of the client that posts to it, and part is compared with part:
//! what a `*` stands for never reaches from the host into what follows it.

use std::net::IpAddr;

use ::http::Uri;
use globset::{Glob, GlobMatcher};

/// What a pattern says of a port that it does not name.
const PORTS: [(&str, u16); 2] = [("https", 443), ("http", 80)];

/// A pattern of URLs: `https://*.shop.example/releases/*`.
#[derive(Clone, Debug)]
pub struct UrlPattern {
    scheme: &'static str,
    /// As it was written: some hosts are meant only by their very name.
    name: String,
    /// Absent where the host is an IPv6 address, which is no glob.
    host: Option<GlobMatcher>,
    /// `None`: any.
    port: Option<u16>,
    path: GlobMatcher,
}

impl UrlPattern {
    /// Reads `scheme://host[:port]/path`; `None` where it is not written so.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let mut known = PORTS.into_iter();
        let (scheme, usual) = known.find(|(known, _)| scheme.eq_ignore_ascii_case(known))?;
        let at = rest.find('/')?;
        let (authority, path) = rest.split_at(at);
        let (name, port) = with_port(authority, usual)?;
        let is_address = name.starts_with('[') && ip(name).is_some();
        let host = match is_address {
            true => None,
            false if name.is_empty() || name.contains(['?', '#', '@', ':', '\\']) => return None,
            false => Some(glob(&name.to_ascii_lowercase())?),
        };
        Some(Self {
            scheme,
            name: name.to_owned(),
            host,
            port,
            path: glob(path)?,
        })
    }

    /// Whether a URL is one of these.
    pub fn is_match(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else {
            return false;
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return false;
        };
        let usual = PORTS.into_iter().find(|(known, _)| *known == scheme);
        let port = authority.port_u16().or(usual.map(|(_, port)| port));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        scheme == self.scheme
            && !authority.as_str().contains('@')
            && self.is_host(authority.host())
            && (self.port.is_none() || self.port == port)
            && !climbs(path)
            && self.path.is_match(path)
    }

    /// This machine is meant only by its very name, and so is an IPv6 address.
    fn is_host(&self, host: &str) -> bool {
        let by_name = is_this_machine(host) || host.starts_with('[');
        let small = host.to_ascii_lowercase();
        let is_like_it = || self.host.as_ref().is_some_and(|it| it.is_match(&small));
        self.name.eq_ignore_ascii_case(host) || !by_name && is_like_it()
    }
}

/// Whether a URL leads to the machine that posts, or nobody can say where it leads.
pub fn is_local(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_none_or(is_this_machine)
}

fn is_this_machine(host: &str) -> bool {
    if let Some(address) = ip(host) {
        return address.is_loopback() || address.is_unspecified();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    // Resolvers take `127.1` and `0x7f000001` for addresses as well.
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    is_number || last == "localhost"
}

fn ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let bare = bare.unwrap_or_else(|| host.trim_end_matches('.'));
    let address: IpAddr = bare.parse().ok()?;
    Some(address.to_canonical())
}

/// Host and port of a pattern; the usual port where it names none.
fn with_port(authority: &str, usual: u16) -> Option<(&str, Option<u16>)> {
    if authority.ends_with(']') {
        return Some((authority, Some(usual)));
    }
    match authority.rsplit_once(':') {
        None => Some((authority, Some(usual))),
        Some((host, "*")) => Some((host, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
    }
}

fn glob(pattern: &str) -> Option<GlobMatcher> {
    Some(Glob::new(pattern).ok()?.compile_matcher())
}

/// Whether a path leads out of the folders that it names first, also where a server decodes it.
fn climbs(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    let plain = plain.replace("%2f", "/").replace("%5c", "/");
    plain.split(['/', '\\']).any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        UrlPattern::parse(pattern).expect(pattern).is_match(url)
    }

    #[test]
    fn a_star_of_the_host_ends_with_the_host() {
        let pattern = "https://*.shop.example/*";
        for right in [
            "https://hooks.shop.example/",
            "https://hooks.shop.example",
            "https://a.b.shop.example/x/y?z=1",
            "https://HOOKS.Shop.example/x",
            "https://hooks.shop.example:443/x",
        ] {
            assert!(matches(pattern, right), "{right}");
        }
        for wrong in [
            "https://evil.example/.shop.example/x",
            "https://evil.example?.shop.example/x",
            "https://evil.example#.shop.example/x",
            "https://evil.example:443/.shop.example/x",
            "https://user@evil.example/.shop.example/x",
            "https://a.shop.example@evil.example/x",
            "https://x:y@a.shop.example/x",
            "https://a.shop.example.evil.example/x",
            "https://shop.example/x",
            "http://hooks.shop.example/x",
            "https://hooks.shop.example:8443/x",
            "hooks.shop.example/x",
            "not a url",
        ] {
            assert!(!matches(pattern, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_path_holds_whatever_is_below_it() {
        let pattern = "https://shop.example/hooks/*";
        for right in ["a", "a/b", "a?to=b/../c", "..a", ""] {
            let url = format!("https://shop.example/hooks/{right}");
            assert!(matches(pattern, &url), "{url}");
        }
        for wrong in ["../admin", "%2e%2E/admin", "a/..%2f../admin", "a/.."] {
            let url = format!("https://shop.example/hooks/{wrong}");
            assert!(!matches(pattern, &url), "{url}");
        }
        for wrong in ["other", "HOOKS/a"] {
            let url = format!("https://shop.example/{wrong}");
            assert!(!matches(pattern, &url), "{url}");
        }
    }

    #[test]
    fn a_port_is_the_usual_one_unless_another_is_named() {
        assert!(matches(
            "https://a.example:8443/*",
            "https://a.example:8443/x"
        ));
        assert!(!matches("https://a.example:8443/*", "https://a.example/x"));
        assert!(matches("https://a.example:*/*", "https://a.example:9/x"));
        assert!(matches("https://a.example:*/*", "https://a.example/x"));
        assert!(matches("https://*/*", "https://192.0.2.7/x"));
    }

    #[test]
    fn this_machine_is_meant_only_by_its_name() {
        for url in [
            "https://localhost/x",
            "https://localhost./x",
            "https://a.localhost/x",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://0x7f000001/x",
            "https://2130706433/x",
            "https://0.0.0.0/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
        ] {
            assert!(is_local(url), "{url}");
            assert!(!matches("https://*/*", url), "{url}");
            let named = url.replace("/x", "/*");
            assert!(matches(&named, url), "{url}");
        }
        for url in ["https://hooks.shop.example/x", "https://192.0.2.7/x"] {
            assert!(!is_local(url), "{url}");
        }
        assert!(matches("http://localhost:*/*", "http://localhost:8065/x"));
        assert!(matches("http://[::1]:8065/*", "http://[::1]:8065/x"));
        assert!(is_local("no url"));
    }

    #[test]
    fn what_is_no_pattern_of_urls_is_none() {
        for wrong in [
            "",
            "*",
            "*.shop.example/*",
            "*://shop.example/*",
            "ftp://shop.example/*",
            "https://shop.example",
            "https://shop.example*",
            "https:///x",
            "https://user@shop.example/*",
            "https://shop.example:port/*",
            "https://a:b:443/*",
            "https://{a.example/x,b.example/y}",
            "https://[a/*",
            "https://shop.example/[",
        ] {
            assert!(UrlPattern::parse(wrong).is_none(), "{wrong}");
        }
        assert!(matches("https://{a,b}.example/x", "https://b.example/x"));
        assert!(matches(
            "https://[ab].example:80/x",
            "https://b.example:80/x"
        ));
    }
}
