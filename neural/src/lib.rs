//! Small language models on this machine: chat from GGUF files ([`chat`]), embeddings from BERT-class models ([`encoder`]).
//!
//! Everything runs on the processor and in this process. Nothing is downloaded, and no file is mapped into memory: one that
//! is cut while it is in use harms nobody.

pub mod chat;
pub mod constraint;
pub mod decoder;
pub mod encoder;
pub mod gguf;
#[expect(unsafe_code, reason = "vector instructions, and threads that work on parts of one buffer")]
pub mod kernels;
pub mod sample;
pub mod template;
pub mod tokens;
pub mod tools;
