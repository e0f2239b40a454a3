//! x
/// x
pub fn schedule_expression(text: &str) -> Result<String, String> { Ok(text.to_owned()) }
