use super::*;
use crate::aws::dynamodb::local::Local;
