//! Simulated clouds: the vendors' wire protocols on loopback, with faults on demand
