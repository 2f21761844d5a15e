"""Why names of PyTorch are not here. In the patterns `*` stands for any part of a name."""

from __future__ import annotations

import fnmatch
from functools import cache

MODULES: dict[str, str] = {
    "ao": "no quantised tensors",
    "distributed.rpc": "processes talk by collectives, `send` and `recv`, not by calls",
    "fx": "Python source is not rewritten; see `debug.draw`, `Tensor.grad_fn` and `compile`",
    "library": "an op of a user's own is an `autograd.Function` or a `core.primitive`",
    "masked": "a prototype in PyTorch, too",
    "monitor": "counters of PyTorch's own runtime",
    "nested": "tensors are rectangular; see `nn.utils.rnn.pad_sequence`",
    "package": "code is not shipped inside of data files",
    "quantization": "no quantised tensors",
    "sparse": "tensors are dense",
    "xpu.random": "no Intel GPUs",
}
"""Modules that do not exist here at all."""

REASONS: dict[str, str] = {
    "tensors are dense": """
        *sparse* ccol_indices_copy col_indices_copy crow_indices_copy row_indices_copy indices_copy
        values_copy dsmm hsmm hspmm smm saddmm sspaddmm""",
    "tensors are rectangular": "jagged *to_padded_tensor",
    "no quantised tensors": """
        *quantize* q_* qint* quint* QInt* QUInt* qscheme per_channel_* per_tensor_*
        int_repr choose_qparams_optimized fused_moving_avg_obs_fake_quant fbgemm_*
        *scaled_mm *scaled_grouped_mm nn.functional.grouped_mm nn.functional.ScalingType
        nn.functional.SwizzleType""",
    "a dtype without arithmetic in PyTorch, too, but for conversions": """
        float8_* float4_* uint16 uint32 uint64 int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3
        uint4 uint5 uint6 uint7 bit bits8 bits16 bits1x8 bits2x4 bits4x2""",
    "no half-precision complex numbers": "complex32 *chalf",
    "storage classes with a dtype, deprecated; `UntypedStorage` is here": """
        *Storage StorageBase PRIVATE_OPS *torage_type *StorageType
        serialization.storage_to_tensor_type""",
    "the compiler of TorchScript": """
        AliasDb AnyType Argument ArgumentSpec AwaitType Block BoolType BufferDict CallStack Capsule
        ClassType Code CompilationUnit CompleteArgumentSpec ComplexType ConcreteModuleType*
        DeepCopyMemoTable Deserialization* DeviceObjType DictType EnumType ErrorReport ExecutionPlan
        FileCheck FloatType FunctionSchema FutureType Gradient Graph GraphExecutorState IODescriptor
        InferredType IntType InterfaceType JITException ListType LiteScriptModule ModuleDict Node
        NoneType NumberType OperatorInfo OptionalType ParameterDict PyObjectType PyTorchFile*
        RRefType Script* Serialization* StaticModule StreamObjType StringType Sym*Type TensorType
        TracingState TupleType Type UnionType Use Value import_ir_module*
        merge_type_from_type_comment
        parse_* unify_type_list jit.Attribute jit.CompilationUnit jit.Error jit.Future
        jit.*fusion* jit.export_opnames testing.FileCheck *.BroadcastingList* *.boolean_dispatch
        nn.functional.DType""",
    "PyTorch's own runtime, dispatcher and logging": """
        AVG SUM AggregationType AcceleratorError BenchmarkConfig BenchmarkExecutionStats
        DisableTorchFunction* DispatchKey* ExcludeDispatchKeyGuard FatalError LockingLogger
        LoggerBase NoopLogger Tag ThroughputBenchmark USE_* Future fork wait classproperty
        get_file_path init_num_threads prepare_multiprocessing_environment *thread_safe_generator
        profiler_allow_* sym_constrain_* sym_fresh_size *TYPE_CHECKING
        *hash_tensor is_anomaly_check_nan_enabled set_anomaly_enabled
        autograd.enforce_grad_layout_policy autograd.NestedIOFunction autograd.graph.set_*
        autograd.graph.region_activation_memory_budget func.debug_unwrap
        optim.swap_in_optimizer_params_and_state""",
    "one kernel library's own entry, behind the function of the plain name": """
        cudnn_* miopen_* mkldnn_* batch_norm_*_elemt batch_norm_elemt batch_norm_backward_*
        batch_norm_gather_stats* batch_norm_stats batch_norm_update_stats native_batch_norm
        native_dropout native_group_norm native_layer_norm native_norm convolution slice_copy
        slice_inverse nn.attention.* Tensor.index""",
    "removed from PyTorch: they only raise": "eig lstsq matrix_rank solve symeig",
    "old spellings of `amp.autocast`'s state": "set_autocast_* get_autocast_* is_autocast_*",
    "no devices of that kind": "mps.* backends.mps.*",
    "CUDA's libraries, memory pools, graphs and sensors": """
        cuda.* backends.cuda.* accelerator.Graph accelerator.*memory* accelerator.*host_cache""",
    "an argument of PyTorch's own layers": "nn.factory_kwargs legacy_contiguous_format layout",
    "text for PyTorch's docstrings": "*_notes",
    "imported there, not defined": "fft.Tensor nn.functional.Tensor",
    "overriding functions by `__torch_function__` would cost every call a look": """
        overrides.* nn.functional.handle_torch_function nn.functional.has_torch_function*""",
    "checks inside PyTorch's layers": """
        nn.functional.assert_int_or_pair nn.functional.GRID_SAMPLE_*""",
    "several GPUs take a process each": """
        nn.parallel.gather nn.parallel.scatter""",
    "the eigenvalues of a huge sparse matrix: scipy.sparse.linalg.lobpcg": "lobpcg",
    "a file as memory: `from_numpy(numpy.memmap(...))`": "from_file",
    "parts of the profiler's report under other names here": "autograd.profiler.* profiler.*",
    "needs einops": "func.rearrange",
    "`model.eval()`, or GroupNorm": "func.replace_all_batch_norm_modules_",
    "settings of PyTorch's file format": "serialization.*",
    "DataPipes, which PyTorch gave up": """
        utils.data.*Pipe utils.data.DataChunk utils.data.argument_validation
        utils.data.functional_datapipe utils.data.*determin* utils.data.runtime_validation*""",
    "segments are recomputed whole, on one device": "utils.checkpoint.*",
    "instruction counts and fuzzing of PyTorch's own benchmarks": "utils.benchmark.*",
    "reference cycles that `register_full_backward_hook` does without": "utils.hooks.*",
    "a number in NumPy's `__dlpack_device__`": "utils.dlpack.DLDeviceType",
    "deprecated; `testing.assert_close`": "testing.assert_allclose",
    "guards and caches of PyTorch's compiler": "compiler.*",
    "the code of a repository is not run": "hub.*",
    "storages under other names": "types.Storage",
    "one device index: none is to be set": "accelerator.*device_idx cpu.*",
    "no ONNX export": "onnx.*",
}
REASONS_BY_PATTERN: dict[str, str] = {p: why for why, ps in REASONS.items() for p in ps.split()}


@cache
def pattern_of(name: str) -> str | None:
    """The pattern that a name falls under."""
    if name in REASONS_BY_PATTERN:
        return name
    return next((p for p in REASONS_BY_PATTERN if fnmatch.fnmatchcase(name, p)), None)
