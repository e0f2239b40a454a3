//! What the SDK's interface asks for beside a request: an HTTP client is made with all parts of a
//! client of AWS, of which a plain request uses none.

use std::borrow::Cow;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, AuthSchemeOptionResolverParams,
    ResolveAuthSchemeOptions, Sign,
};
use aws_smithy_runtime_api::client::endpoint::{
    EndpointFuture, EndpointResolverParams, ResolveEndpoint,
};
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::retries::{RetryStrategy, ShouldAttempt};
use aws_smithy_runtime_api::client::runtime_components::{
    GetIdentityResolver, RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;

/// Stands for each part. Whoever uses one is told that there is none.
#[derive(Debug)]
struct Nothing;

const SCHEME: AuthSchemeId = AuthSchemeId::new("none");

/// Parts that are there and do nothing.
pub(super) fn none() -> Option<RuntimeComponents> {
    RuntimeComponentsBuilder::new("posts")
        .with_auth_scheme(Nothing)
        .with_auth_scheme_option_resolver(Some(Nothing))
        .with_endpoint_resolver(Some(Nothing))
        .with_identity_cache(Some(Nothing))
        .with_identity_resolver(SCHEME, Nothing)
        .with_retry_strategy(Some(Nothing))
        .with_sleep_impl(aws_smithy_async::rt::sleep::default_async_sleep())
        .build()
        .ok()
}

fn unused<T>() -> Result<T, BoxError> {
    Err("a plain request has no part of AWS".into())
}

impl ResolveAuthSchemeOptions for Nothing {
    fn resolve_auth_scheme_options(
        &self,
        _: &AuthSchemeOptionResolverParams,
    ) -> Result<Cow<'_, [AuthSchemeId]>, BoxError> {
        unused()
    }
}

impl ResolveEndpoint for Nothing {
    fn resolve_endpoint<'a>(&'a self, _: &'a EndpointResolverParams) -> EndpointFuture<'a> {
        EndpointFuture::ready(unused())
    }
}

impl AuthScheme for Nothing {
    fn scheme_id(&self) -> AuthSchemeId {
        SCHEME
    }

    fn identity_resolver(&self, _: &dyn GetIdentityResolver) -> Option<SharedIdentityResolver> {
        None
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Nothing {
    fn sign_http_request(
        &self,
        _: &mut HttpRequest,
        _: &Identity,
        _: AuthSchemeEndpointConfig<'_>,
        _: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        unused()
    }
}

impl ResolveIdentity for Nothing {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::ready(unused())
    }
}

impl ResolveCachedIdentity for Nothing {
    fn resolve_cached_identity<'a>(
        &'a self,
        _: SharedIdentityResolver,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::ready(unused())
    }
}

impl RetryStrategy for Nothing {
    fn should_attempt_initial_request(
        &self,
        _: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<ShouldAttempt, BoxError> {
        Ok(ShouldAttempt::No)
    }

    fn should_attempt_retry(
        &self,
        _: &InterceptorContext,
        _: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<ShouldAttempt, BoxError> {
        Ok(ShouldAttempt::No)
    }
}
