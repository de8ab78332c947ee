//! Amazon Bedrock as a provider
