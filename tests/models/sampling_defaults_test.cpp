#include "models/sampling_defaults.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/gguf_builder.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::test;

namespace {

Result<SamplingDefaults> defaults_of(const GgufBuilder& builder) {
  const TempDir dir;
  write_file(dir / "m.gguf", builder.build());
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(dir / "m.gguf"));
  return sampling_defaults(file);
}

SamplingSource source_of(const SamplingDefaults& defaults, std::string_view name) {
  const auto it = std::ranges::find(defaults.shown, name, &SamplingDefault::name);
  REQUIRE(it != defaults.shown.end());
  return it->source;
}

}  // namespace

TEST_CASE("sampling defaults: the family's, where the file says nothing") {
  const auto defaults = defaults_of(GgufBuilder());
  REQUIRE(defaults);
  CHECK(defaults->params.temperature == 0.3f);
  CHECK(defaults->params.top_p == 0.95f);
  CHECK(defaults->params.top_k == SamplingParams().top_k);
  CHECK(defaults->shown.size() == 4);
  CHECK(source_of(*defaults, "temperature") == SamplingSource::kFamily);
  CHECK(source_of(*defaults, "top_k") == SamplingSource::kMinke);
}

TEST_CASE("sampling defaults: the file's come first") {
  GgufBuilder b;
  b.f32("general.sampling.temp", 1.5f).raw("general.sampling.top_k", 5, le(int32_t{64}));
  b.raw("general.sampling.penalty_last_n", 5, le(int32_t{-1}));
  b.f32("general.sampling.penalty_repeat", 1.25f);
  b.string("general.sampling.sequence", "top_k;temperature");
  const auto defaults = defaults_of(b);
  REQUIRE(defaults);
  CHECK(defaults->params.temperature == 1.5f);
  CHECK(defaults->params.top_k == 64);
  CHECK(defaults->params.repeat_last_n == -1);
  CHECK(defaults->params.repeat_penalty == 1.25f);
  CHECK(defaults->params.order == std::vector<std::string>{"top_k", "temperature"});
  CHECK(source_of(*defaults, "temperature") == SamplingSource::kFile);
  CHECK(source_of(*defaults, "top_p") == SamplingSource::kFamily);
  CHECK(source_of(*defaults, "repeat_penalty") == SamplingSource::kFile);
}

TEST_CASE("sampling defaults: a bad value is an error that names the key") {
  const auto refused = [](const GgufBuilder& b, std::string_view part) {
    const auto defaults = defaults_of(b);
    REQUIRE_FALSE(defaults);
    INFO(defaults.error().message);
    CHECK(defaults.error().code == Errc::kContent);
    CHECK(defaults.error().message.find(part) != std::string::npos);
  };
  refused(GgufBuilder().string("general.sampling.temp", "hot"),
          "key 'general.sampling.temp': wrong type");
  refused(GgufBuilder().f32("general.sampling.top_p", std::numeric_limits<float>::quiet_NaN()),
          "key 'general.sampling.top_p': not a usable number");
  refused(GgufBuilder().raw("general.sampling.top_k", 11, le(int64_t{1} << 40)),
          "key 'general.sampling.top_k': not a usable number");
}
