"""Errors of torch, CUDA and communication libraries end in what to do; the trainer's own are left as they are."""

import pytest
import torch
from engine_worlds import quick_end, train

import trainer.loop.train
from rmtui.launch.verdict import Observed, judge
from rmtui.runs.folder import AttemptFolder
from trainer.loop.optimizer_step import NotFinite
from trainer.ranks import OUT_OF_MEMORY
from trainer.remedies import REMEDIES, remedy_for

SAID = {
    "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported": "tokenizer",
    "CUDA error: an illegal memory access was encountered": "unpadded=false",
    "CUDA error: no kernel image is available for execution on the device": "not built for this card",
    "The NVIDIA driver on your system is too old (found version 11040). Please update": "update the driver",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU": "CUDA_VISIBLE_DEVICES",
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that "
    "might have already set an error? Error 802: system not yet initialized": "fabricmanager",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable": "doctor",
    "CUDA error: uncorrectable ECC error encountered": "dmesg",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`": "smaller batch_size",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`": "matrix product",
    "Expected query, key, and value to have the same dtype, but got query.dtype: float": "mixed_precision=no",
    "expected mat1 and mat2 to have the same dtype, but got: float != c10::BFloat16": "mixed_precision=no",
    "expected scalar type Float but found BFloat16": "mixed_precision=no",
    "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.hpp:268, unhandled system error": "NCCL_DEBUG=INFO",
    "Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, OpType=ALLREDUCE)": "rmtui logs RUN --rank N",
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:525] Read error: Connection reset by peer": "GLOO_SOCKET",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": "LD_LIBRARY_PATH",
    "index_add_cuda_ does not have a deterministic implementation, but you set": "deterministic=false",
    "CUDA error: unknown error": "CUDA_LAUNCH_BLOCKING=1",
}


@pytest.mark.parametrize("said", SAID)
def test_the_error_is_followed_by_what_to_do(said):
    assert SAID[said] in remedy_for(RuntimeError(said))


def test_torchs_own_words_for_two_formats_are_known():
    query, value = torch.zeros(1, 1, 2, 8), torch.zeros(1, 1, 2, 8, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError) as error:
        torch.nn.functional.scaled_dot_product_attention(query, query, value)
    assert "mixed_precision=no" in remedy_for(error.value)
    with pytest.raises(RuntimeError) as error:
        torch.zeros(2, 2) @ torch.zeros(2, 2, dtype=torch.bfloat16)
    assert "mixed_precision=no" in remedy_for(error.value)


@pytest.mark.parametrize(
    "error",
    [
        NotFinite("the loss of step 3 is nan; try a lower rate"),
        ValueError("gloo"),
        KeyError("nccl"),
        RuntimeError("odd"),
    ],
)
def test_other_errors_get_no_remedy(error):
    assert remedy_for(error) == ""


def test_no_remedy_is_hidden_by_a_wider_one():
    for number, (words, remedy) in enumerate(REMEDIES):
        for word in words:
            assert word == word.lower() and not any(short in word for short in OUT_OF_MEMORY)
            earlier = [other for others, _ in REMEDIES[:number] for other in others if other in word]
            assert not earlier, (word, remedy)


def test_a_run_that_dies_of_cuda_says_what_to_do_where_people_look(bench, tmp_path):
    def patch(rank):
        quick_end(rank)

        def broken(model, batch):
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")

        trainer.loop.train.rewards = broken

    world = train(tmp_path, bench.options(num_epochs=1, start_check=False), 1, patch)
    assert world.codes == [1]
    remedy = remedy_for(RuntimeError("device-side assert"))
    reason = world.result["reason"]
    assert reason == f"CUDA error: device-side assert triggered (rank 0, step 1); {remedy}"
    assert f"what to do: {remedy}" in world.log()
    assert world.of("failure")[0].data["remedy"] == remedy
    assert judge(AttemptFolder(world.attempt), Observed(1)).reason.endswith(f"(rank 0) at step 1; {remedy}")
