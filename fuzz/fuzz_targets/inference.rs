//! Messages of the Open Inference Protocol: never a panic; what is read and written again is the same.
#![no_main]

use aigate_contract::predict::{Input, Output, PredictReply, PredictRequest, Signature};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = data.split_first_chunk::<2>() else { return };
    let body = Bytes::copy_from_slice(body);
    let length = usize::from(u16::from_le_bytes(*head));
    let length = (length < 0x8000).then_some(length);
    let Ok(mut request) = PredictRequest::parse("m", None, &body, length) else { return };
    let signature = Signature {
        inputs: (request.inputs.iter()).map(|tensor| Input::scalar(&tensor.name, tensor.datatype())).collect(),
        outputs: vec![Output::scalar("score", aigate_contract::predict::Datatype::Fp64)],
    };
    let outputs = request.inputs.clone();
    let _ = signature.check(&mut request);
    request.binary_output = true;
    let Ok(reply) = PredictReply::new(&request, "1", outputs.clone()) else { return };
    let packed = reply.write(&request).expect("binary data carries every tensor");
    let again = PredictReply::read(&packed.body, packed.json_length).expect("what was written can be read");
    for (before, after) in outputs.iter().zip(&again) {
        assert_eq!((&before.name, &before.shape, &before.data), (&after.name, &after.shape, &after.data));
    }
});
