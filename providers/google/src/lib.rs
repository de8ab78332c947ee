//! Vertex AI and the Gemini API as a provider
