//! What a change of an item means, told from its key alone.

use crate::aws::streams::Record;
use crate::resource::meta::ReleaseKey;

use super::keys;

/// What changed in the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Changed {
    /// A Release was applied, edited or deleted.
    Release(ReleaseKey),
    /// The Environment of a namespace was.
    Namespace(String),
    /// How a Release stands was written: of interest to those that wait for it.
    Status(ReleaseKey),
    /// Something is asked about a Release.
    Request(ReleaseKey),
    /// A replica was told of something that may concern the Releases of others: what, in its words.
    Hint(String),
    /// A lease was taken, renewed or given back.
    Lease,
    /// Nothing that the controller waits for: above all what it wrote itself.
    Other,
}

impl Changed {
    /// What a record tells.
    pub fn of(record: &Record) -> Self {
        let (pk, sk) = (record.key.pk.as_str(), record.key.sk.as_str());
        // Requests and hints are taken away by who dealt with them.
        let asks = !record.removed;
        let found = if pk == keys::ENVIRONMENTS {
            let name = sk.strip_prefix(keys::ENVIRONMENT_PREFIX);
            name.map(|name| Self::Namespace(name.to_owned()))
        } else if pk == keys::LEASES {
            Some(Self::Lease)
        } else if pk == keys::HINTS && asks {
            Some(Self::Hint(sk.to_owned()))
        } else if let Some(namespace) = pk.strip_prefix(keys::SPECS_PREFIX) {
            let name = sk.strip_prefix(keys::RELEASE_PREFIX);
            name.map(|name| Self::Release(ReleaseKey::new(namespace, name)))
        } else if let Some(namespace) = pk.strip_prefix(keys::STATUSES_PREFIX) {
            let name = sk.strip_prefix(keys::RELEASE_PREFIX);
            name.map(|name| Self::Status(ReleaseKey::new(namespace, name)))
        } else if let Some(namespace) = pk.strip_prefix(keys::REQUESTS_PREFIX)
            && asks
        {
            sk.split_once('#')
                .map(|(name, _)| Self::Request(ReleaseKey::new(namespace, name)))
        } else {
            None
        };
        found.unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::dynamodb::Key;
    use crate::store::ObjectRef;

    fn written(key: Key) -> Changed {
        Changed::of(&Record {
            key,
            removed: false,
            sequence: "1".to_owned(),
        })
    }

    fn removed(key: Key) -> Changed {
        Changed::of(&Record {
            key,
            removed: true,
            sequence: "1".to_owned(),
        })
    }

    #[test]
    fn what_people_write_is_told_by_its_release_or_environment() {
        let shop = ReleaseKey::new("production", "shop");
        let release = Changed::Release(shop.clone());
        assert_eq!(written(keys::release(&shop)), release);
        assert_eq!(removed(keys::release(&shop)), release);
        let environment = Changed::Namespace("production".to_owned());
        assert_eq!(written(keys::environment("production")), environment);
        assert_eq!(removed(keys::environment("production")), environment);
        let request = keys::request(&shop, "4711");
        assert_eq!(written(request.clone()), Changed::Request(shop.clone()));
        assert_eq!(removed(request), Changed::Other);
        let hint = keys::hint("service shop");
        let what = Changed::Hint("service shop".to_owned());
        assert_eq!(written(hint.clone()), what);
        assert_eq!(removed(hint), Changed::Other);
        assert_eq!(written(Key::new("lease", "shard#0000")), Changed::Lease);
        let status = Changed::Status(shop.clone());
        assert_eq!(written(keys::status(&shop)), status);
        assert_eq!(removed(keys::status(&shop)), status);
    }

    #[test]
    fn what_the_controller_writes_wakes_nobody() {
        let shop = ReleaseKey::new("production", "shop");
        let object = ObjectRef::release(&shop);
        for key in [
            keys::applied(&object, "ci"),
            keys::applied(&ObjectRef::environment("production"), "admin"),
            keys::revision(&shop, 3),
            keys::migration(&shop, "db", "0123"),
            keys::rollout(&shop, "web"),
            keys::claim_in_ledger(&shop, "arn:aws:ecs:::service/a/b"),
            keys::claim("arn:aws:ecs:::service/a/b"),
            keys::registration("1", "eu-central-1", "shop", "0123"),
            keys::definition("0123"),
            keys::binding("production"),
            keys::installation(),
            keys::epoch(0),
            // Not evenkeel's.
            Key::new("", ""),
            Key::new("request#production", "shop"),
        ] {
            assert_eq!(written(key.clone()), Changed::Other, "{key}");
            assert_eq!(removed(key.clone()), Changed::Other, "{key}");
        }
    }
}
