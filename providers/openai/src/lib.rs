//! OpenAI and servers that speak its API, as a provider
