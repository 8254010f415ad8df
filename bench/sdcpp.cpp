// One denoising step of stable-diffusion.cpp's Wan, for bench/wan.py; bench/_sdcpp.py builds this and calls it.
// Its WanRunner takes 30 or 40 layers and aborts at any other number, so the runner here is made again with fewer.

#include <cstdio>
#include <cstring>
#include <memory>

#include "model.h"
#include "wan.hpp"

namespace {

const std::string PREFIX = "model.diffusion_model.";

struct Runner : WAN::WanRunner {
    // The widths are chosen by the number of layers: 30 are those of Wan 2.1 1.3B.
    static String2TensorStorage thirty() {
        String2TensorStorage names;
        names[PREFIX + "blocks.29."] = TensorStorage();
        return names;
    }

    Runner(ggml_backend_t backend, const String2TensorStorage& tensors, int layers)
        : WanRunner(backend, false, thirty(), "model.diffusion_model", VERSION_WAN2) {
        free_params_ctx();
        alloc_params_ctx();
        wan_params.num_layers = layers;
        wan                   = WAN::Wan(wan_params);
        wan.init(params_ctx, tensors, "model.diffusion_model");
    }
};

void log_errors(sd_log_level_t level, const char* text, void*) {
    if (level >= SD_LOG_WARN) {
        fputs(text, stderr);
    }
}

}  // namespace

extern "C" {

// A model from a file with the transformer's tensors, in the types that the file has; null if it cannot be loaded.
void* sdcpp_load(const char* path, int layers, bool flash_attention) {
    sd_set_log_callback(log_errors, nullptr);
    ModelLoader loader;
    if (!loader.init_from_file_and_convert_name(path, PREFIX, VERSION_WAN2)) {
        return nullptr;
    }
    auto runner = std::make_unique<Runner>(ggml_backend_cpu_init(), loader.get_tensor_storage_map(), layers);
    runner->set_flash_attention_enabled(flash_attention);
    std::map<std::string, ggml_tensor*> tensors;
    runner->get_param_tensors(tensors, "model.diffusion_model");
    if (!runner->alloc_params_buffer() || !loader.load_tensors(tensors, {}, 1)) {
        return nullptr;
    }
    return runner.release();
}

// latents, out: c t h w. words: text_len text_dim. All float32. False if it fails.
bool sdcpp_step(void* model, int threads, const float* latents, const int64_t* shape, float time, const float* words,
                int64_t text_len, int64_t text_dim, float* out) {
    sd::Tensor<float> x({shape[3], shape[2], shape[1], shape[0]});  // ggml's order: the fastest first
    std::memcpy(x.data(), latents, x.numel() * sizeof(float));
    sd::Tensor<float> context({text_dim, text_len, 1});
    std::memcpy(context.data(), words, context.numel() * sizeof(float));
    auto result = static_cast<Runner*>(model)->compute(threads, x, sd::Tensor<float>({1}, {time}), context);
    if (result.numel() != x.numel()) {
        return false;
    }
    std::memcpy(out, result.data(), result.numel() * sizeof(float));
    return true;
}

void sdcpp_free(void* model) {
    auto runner  = static_cast<Runner*>(model);
    auto backend = runner->get_runtime_backend();
    delete runner;
    ggml_backend_free(backend);
}
}
