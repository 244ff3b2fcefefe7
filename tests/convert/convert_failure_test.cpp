// A conversion that cannot go on: it says why, and leaves nothing that looks like a result.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "convert/convert.h"
#include "tests/convert/convert_support.h"

using namespace minke;
using namespace minke::convert;
using minke::test::convert_to;
using minke::test::TinyModel;
namespace fs = std::filesystem;

namespace {

size_t n_files(const fs::path& dir) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(dir), {}));
}

/// Runs in a child process; gives its wait status.
int in_child(const std::function<int()>& body) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_CASE("tensors that do not fit config.json are refused by name") {
  struct Case {
    const char* what;
    const char* reason;
    std::function<void(TinyModel&)> breaks;
  };
  const char* o_proj = "model.layers.1.self_attn.o_proj.weight";
  const Case cases[] = {
      {"missing", "is missing", [&](TinyModel& m) { m.erase(o_proj); }},
      {"transposed", "shape 32x64",
       [&](TinyModel& m) {
         m.tensor(o_proj).shape = {32, 64};
       }},
      {"of integers", "cannot convert I32", [&](TinyModel& m) { m.tensor(o_proj).dtype = "I32"; }},
      {"FP8 without scales", "without its scales",
       [&](TinyModel& m) {
         m.tensor(o_proj).dtype = "F8_E4M3";
         m.tensor(o_proj).data.resize(32 * 64);
       }},
      {"scales of another shape", "do not fit",
       [&](TinyModel& m) {
         m.tensor(o_proj).dtype = "F8_E4M3";
         m.tensor(o_proj).data.resize(32 * 64);
         m.tensors.push_back(
             {std::string(o_proj) + "_scale_inv", "F32", {3, 1}, test::bytes_of({1, 1, 1})});
       }},
      {"scales without FP8", "not FP8",
       [&](TinyModel& m) {
         m.tensors.push_back(
             {std::string(o_proj) + "_scale_inv", "F32", {1, 1}, test::bytes_of({1})});
       }},
      {"unknown", "no DeepSeek-V2 model",
       [](TinyModel& m) {
         m.tensors.push_back(
             {"model.layers.1.self_attn.o_proj.bias", "F32", {1}, test::bytes_of({1})});
       }},
      {"more experts than config.json says", "no DeepSeek-V2 model",
       [](TinyModel& m) {
         m.tensors.push_back(
             {"model.layers.1.mlp.experts.4.up_proj.weight", "F32", {1}, test::bytes_of({1})});
       }},
      {"more layers than config.json says", "no DeepSeek-V2 model",
       [](TinyModel& m) {
         m.tensors.push_back(
             {"model.layers.2.input_layernorm.weight", "F32", {1}, test::bytes_of({1})});
       }},
      {"other heads", "config.json asks for",
       [](TinyModel& m) { m.config["num_attention_heads"] = 4; }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    const test::TempDir dir;
    TinyModel model;
    c.breaks(model);
    model.write(dir / "m");
    const auto conversion = Conversion::prepare(dir / "m", *find_recipe("F32"));
    REQUIRE_FALSE(conversion);
    CAPTURE(conversion.error().message);
    CHECK(conversion.error().code == Errc::kContent);
    CHECK(conversion.error().message.find("tensor 'model.layers.") != std::string::npos);
    CHECK(conversion.error().message.find(c.reason) != std::string::npos);
  }
}

TEST_CASE("a NaN or an infinity is refused with tensor and index, and nothing is left") {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const char* dtype : {"F32", "BF16"}) {
      CAPTURE(dtype);
      const test::TempDir dir;
      TinyModel model;
      test::RawTensor& t = model.tensor("lm_head.weight");
      auto values = test::floats_of(t.data);
      values[4999 * 64 + 7] = bad;
      values[4999 * 64 + 9] = bad;
      t.dtype = dtype;
      t.data = t.dtype == "F32" ? test::bytes_of(values) : test::bf16_bytes(values);
      model.write(dir / "m");
      const Status status = convert_to(dir / "m", dir / "m.gguf", "Q8_0");
      REQUIRE_FALSE(status);
      CHECK(status.error().code == Errc::kContent);
      CHECK(status.error().message.find("tensor 'lm_head.weight'") != std::string::npos);
      CHECK(status.error().message.find("index 319943 (row 4999, column 7)") != std::string::npos);
      CHECK(n_files(dir.path()) == 1);
    }
  }
}

TEST_CASE("what a type has no room for is refused, also in a matrix that is transposed") {
  const test::TempDir dir;
  TinyModel model;
  // attn_k_b, (n_heads, kv_lora_rank, qk_nope_dim), holds the first rows of each head turned.
  test::RawTensor& t = model.tensor("model.layers.1.self_attn.kv_b_proj.weight");
  auto values = test::floats_of(t.data);
  const auto cols = static_cast<size_t>(t.shape[1]);
  const size_t row = TinyModel::kNope + TinyModel::kV + 3;  // of the second head
  values[row * cols + 7] = -65504.0f;
  t.data = test::bytes_of(values);
  model.write(dir / "fits");
  REQUIRE(convert_to(dir / "fits", dir / "fits.gguf", "F16"));
  const auto fits = GgufFile::open(dir / "fits.gguf");
  const GgufTensor* keys = fits->find_tensor("blk.1.attn_k_b.weight");
  REQUIRE(keys->desc.dtype == DType::kF16);
  const size_t at = (static_cast<size_t>(TinyModel::kLatent) + 7) * TinyModel::kNope + 3;
  CHECK(keys->data[2 * at] == std::byte{0xff});
  CHECK(keys->data[2 * at + 1] == std::byte{0xfb});

  values[row * cols + 7] = -65536.0f;
  t.data = test::bytes_of(values);
  model.write(dir / "m");
  for (const char* recipe : {"F32", "BF16"}) REQUIRE(convert_to(dir / "m", dir / "m.gguf", recipe));
  for (const char* recipe : {"F16", "Q4_1", "Q8_0"}) {
    CAPTURE(recipe);
    const Status status = convert_to(dir / "m", dir / "no.gguf", recipe);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kContent);
    const std::string expected = fmt::format(
        "'model.layers.1.self_attn.kv_b_proj.weight': -65536 at index {} (row {}, column 7): {} is "
        "not for values beyond 65504 (--tensor-type gives 'blk.1.attn_k_b.weight' another)",
        row * cols + 7, row, recipe);
    CAPTURE(status.error().message);
    CHECK(status.error().message.find(expected) != std::string::npos);
    CHECK(n_files(dir.path()) == 4);
  }
}

TEST_CASE("a conversion that fails leaves the file that was there as it was") {
  const test::TempDir dir;
  TinyModel model;
  model.tensor("lm_head.weight").data.replace(0, 4, test::bytes_of({std::nanf("")}));
  model.write(dir / "m");
  test::write_file(dir / "m.gguf", "an older result");
  CHECK_FALSE(convert_to(dir / "m", dir / "m.gguf", "F32"));
  CHECK(test::read_file(dir / "m.gguf") == "an older result");
  CHECK(n_files(dir.path()) == 2);
}

TEST_CASE("progress counts the checkpoint's bytes, and false in the first tensor leaves no trace") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  uint64_t last = 0, total = 0;
  REQUIRE(convert_to(dir / "m", dir / "m.gguf", "Q8_0", 2, [&](const Progress& p) {
    CHECK(p.bytes_done >= last);
    CHECK_FALSE(p.tensor.empty());
    last = p.bytes_done;
    total = p.bytes_total;
    return true;
  }));
  CHECK(last == total);
  CHECK(total == Checkpoint::open(dir / "m")->tensor_bytes());
  fs::remove(dir / "m.gguf");
  const Status status = convert_to(dir / "m", dir / "m.gguf", "F32", 2,
                                   [](const Progress& p) { return p.bytes_done == 0; });
  CHECK(status.error().code == Errc::kCancelled);
  CHECK(n_files(dir.path()) == 1);
}

TEST_CASE("a shard that changes while it is read stops the conversion") {
  const test::TempDir dir;
  const auto path = dir / "m/model.safetensors";
  const auto size_change = [&](int64_t by) {
    TinyModel().write(dir / "m");
    bool done = false;
    const Status status = convert_to(dir / "m", dir / "m.gguf", "F32", 2, [&](const Progress&) {
      if (!done)
        fs::resize_file(path,
                        static_cast<uintmax_t>(static_cast<int64_t>(fs::file_size(path)) + by));
      done = true;
      return true;
    });
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kIo);
    CHECK(status.error().message.find("model.safetensors") != std::string::npos);
    CHECK(n_files(dir.path()) == 1);
  };
  size_change(-100'000);
  size_change(+1);
}

TEST_CASE("a killed conversion leaves the partial file only, and the next one replaces it") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  const int status = in_child([&] {
    const Status ran = convert_to(dir / "m", dir / "m.gguf", "F32", 2, [](const Progress& p) {
      if (p.bytes_done > p.bytes_total / 2) raise(SIGKILL);
      return true;
    });
    return ran ? 0 : 1;
  });
  CHECK(WIFSIGNALED(status));
  CHECK(fs::exists(dir / "m.gguf.partial"));
  CHECK_FALSE(fs::exists(dir / "m.gguf"));
  REQUIRE(convert_to(dir / "m", dir / "m.gguf", "F32"));
  CHECK(n_files(dir.path()) == 2);
}

TEST_CASE("output that cannot be written is an I/O error, and nothing is left") {
  const test::TempDir dir;
  TinyModel().write(dir / "m");
  CHECK_FALSE(convert_to(dir / "m", dir / "none/m.gguf", "F32"));
  CHECK_FALSE(convert_to(dir / "m", dir / "m/config.json/m.gguf", "F32"));
  // A limit on the file's size stands for a disk that fills up on the way.
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status ran = convert_to(dir / "m", dir / "m.gguf", "F32");
    return !ran && ran.error().code == Errc::kIo ? 42 : 1;
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK(n_files(dir.path()) == 1);
}
