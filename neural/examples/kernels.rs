//! Speed of the products: gigabytes of weights and billions of operations a second, for each format.
//!
//! `cargo run --release --example kernels -- [threads] [format ...]`
//!
//! One token shows how fast weights are read (they are taken from 128 MiB of matrices in turn, so that they come
//! from memory as in generation), 128 tokens how fast they are multiplied (as in a prompt).

#![expect(clippy::disallowed_types, reason = "measures real time")]

use std::io::Write;
use std::time::{Duration, Instant};

use aigate_neural::kernels::{Format, Matrix, Scratch, Team};

const SHAPES: [(usize, usize); 2] = [(2048, 2048), (2048, 8192)];
const MEMORY: usize = 128 << 20;
const TIME: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let names: Vec<_> = arguments.collect();
    let team = Team::new(threads);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} threads, rows x columns x tokens", team.threads())?;
    let formats = (0..64).filter_map(Format::from_ggml);
    for format in formats.filter(|format| names.is_empty() || names.iter().any(|name| name == format.name()))
    {
        for (rows, columns) in SHAPES {
            for tokens in [1, 128] {
                let (bytes, operations) = measure(&team, format, (rows, columns), tokens)?;
                let name = format.name();
                writeln!(
                    out,
                    "{name:7} {rows} x {columns} x {tokens:3}: {bytes:6.2} GB/s {operations:7.1} GFLOP/s"
                )?;
            }
        }
    }
    Ok(())
}

/// Gigabytes of weights and billions of operations (a product and a sum count as two) a second; the fastest
/// tenth of the runs counts, because other work of the machine can only slow them down.
fn measure(
    team: &Team,
    format: Format,
    (rows, columns): (usize, usize),
    tokens: usize,
) -> Result<(f64, f64), String> {
    let (values, size) = format.block();
    let bytes = rows * columns / values * size;
    let count = if tokens == 1 { MEMORY.div_ceil(bytes) } else { 1 };
    // Below 0x40 every pair of bytes is a sound number of half precision.
    let stored: Vec<u8> = (0..bytes).map(|at| (at * at + at / 7) as u8 & 0x3f).collect();
    let matrices: Result<Vec<_>, _> =
        (0..count).map(|_| Matrix::new(format, rows, columns, stored.clone())).collect();
    let matrices = matrices?;
    let input: Vec<f32> = (0..tokens * columns).map(|at| (at % 31) as f32 / 31.0 - 0.5).collect();
    let mut output = vec![0.0; tokens * rows];
    let mut scratch = Scratch::default();
    let mut times = Vec::new();
    let begin = Instant::now();
    for matrix in matrices.iter().cycle() {
        let begin_of_run = Instant::now();
        team.multiply(&[matrix], &input, &mut [&mut output[..]], &mut scratch);
        times.push(begin_of_run.elapsed());
        if times.len() >= 2 * count && begin.elapsed() > TIME {
            break;
        }
    }
    times.sort();
    let fastest = times[times.len() / 10].as_secs_f64() * 1e9;
    Ok((bytes as f64 / fastest, 2.0 * (rows * columns * tokens) as f64 / fastest))
}
