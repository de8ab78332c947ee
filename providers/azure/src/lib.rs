//! Azure OpenAI and Foundry Models as a provider
