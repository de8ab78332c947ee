//! How fast a chat model should be, from measurements of others: answers are bound by how fast the weights are read, prompts by
//! arithmetic. What a machine really does, `aigate model show --measure` tells.

use aigate_neural::chat::Facts;

/// Measured on two threads of an AMD EPYC (AVX2), with models of 0.5 and 1.2 billion numbers: see `bench/RESULTS.md`.
const MEASURED_THREADS: usize = 2;
const BYTES_A_SECOND: f64 = 19e9;
const MULTIPLICATIONS_A_SECOND: f64 = 80e9;

/// In words, with what it rests on.
pub(super) fn of_chat(facts: &Facts, threads: usize) -> String {
    // Prompts are arithmetic, which grows with the threads. Two threads read memory about as fast as it can be read.
    let share = threads as f64 / MEASURED_THREADS as f64;
    let answer = BYTES_A_SECOND / facts.weights as f64 * (1.2 * share).min(1.0);
    let prompt = MULTIPLICATIONS_A_SECOND / facts.parameters as f64 * share;
    let own = match threads {
        MEASURED_THREADS => String::new(),
        threads => format!(", reckoned for {threads}"),
    };
    format!(
        "about {answer:.0} tokens/s of an answer and {prompt:.0} of a prompt, by measurements on {MEASURED_THREADS} threads of a \
         server with AVX2{own}: `aigate model show --measure` measures here"
    )
}
