//! What people see in a browser.

use askama::Template;

use crate::http::error::Why;

/// A refusal as a page.
#[derive(Template)]
#[template(path = "pages/fault.html")]
pub(super) struct FaultPage<'a> {
    status: u16,
    message: &'a str,
    request: &'a str,
}

impl<'a> FaultPage<'a> {
    pub(super) fn new(why: Why, message: &'a str, request: &'a str) -> Self {
        Self { status: why.status().as_u16(), message, request }
    }
}
