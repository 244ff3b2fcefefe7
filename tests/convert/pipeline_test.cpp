#include "convert/pipeline.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "convert/weighting.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;

namespace {

constexpr int64_t kRows = 1500, kCols = 512;  // several pieces a tensor

/// A file of F32 values, and tensors that lie in it one after another.
struct Fixture {
  explicit Fixture(int n_tensors, DType dtype = DType::kQ8_0)
      : values(static_cast<size_t>(n_tensors * kRows * kCols)) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 2654435761U >> 7) % 1000) - 500;
    }
    write();
    for (int i = 0; i < n_tensors; ++i) {
      names.push_back(fmt::format("t{}", i));
    }
    for (int i = 0; i < n_tensors; ++i) {
      const auto begin = static_cast<uint64_t>(i * kRows * kCols) * sizeof(float);
      const SourceTensor source{names[static_cast<size_t>(i)], &*file, begin, Shape{kRows, kCols},
                                source_format(DType::kF32)};
      const SourceMatrix matrix{source, {}, 0, 0};
      tensors.push_back({source.name.data(), {dtype, Shape{kRows, kCols}}, {}, dtype});
      tensors.back().slabs = {{matrix, 0, 700, false}, {matrix, 700, kRows - 700, false}};
    }
  }
  void write() {
    const auto bytes = std::as_bytes(std::span(values));
    test::write_file(dir / "values", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    auto opened = InputFile::open(dir / "values");
    REQUIRE(opened);
    file = std::make_unique<InputFile>(std::move(*opened));
  }
  /// What one call of the encoder makes of everything.
  std::string expected() const {
    const FormatTraits& format = *find_format(tensors[0].desc.dtype);
    const size_t n_blocks = values.size() / format.block_len;
    std::string bytes(n_blocks * format.block_bytes, '\0');
    std::vector<float> weights;
    weigh_errors({&tensors[0], &tensors[0].slabs[0], 0, kRows}, values, weights);
    format.encode(values.data(), weights.data(), bytes.data(), n_blocks);
    return bytes;
  }
  Status run(int n_threads, std::string& out) const {
    MINKE_ASSIGN(const PipelineShape shape, plan_pipeline(tensors, n_threads));
    const auto append = [&](const Piece&, std::span<const std::byte> bytes) {
      out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return Status{};
    };
    return run_pipeline(tensors, shape, append, [] { return true; });
  }

  test::TempDir dir;
  std::vector<float> values;
  std::unique_ptr<InputFile> file;
  std::vector<std::string> names;
  std::vector<PlannedTensor> tensors;
};

}  // namespace

TEST_CASE("pieces come out in order and the same, whatever the threads") {
  for (const DType dtype : {DType::kF32, DType::kQ8_0, DType::kQ4_K}) {
    const Fixture fixture(2, dtype);
    const std::string expected = fixture.expected();
    for (const int n_threads : {1, 2, 3, 16}) {
      CAPTURE(n_threads);
      std::string out;
      REQUIRE(fixture.run(n_threads, out));
      CHECK(out == expected);
    }
  }
}

TEST_CASE("nothing to do is done at once") {
  std::string out;
  const auto never = [&](const Piece&, std::span<const std::byte>) -> Status {
    return fail(Errc::kIo, "called");
  };
  CHECK(run_pipeline({}, {1, 3, 0}, never, [] { return true; }));
}

TEST_CASE("the first bad value in the file's order is named, whatever the threads") {
  Fixture fixture(3);
  const size_t n = kRows * kCols;
  fixture.values[n + 5] = std::nanf("");
  fixture.values[n + 700 * kCols + 1] = INFINITY;
  fixture.values[2 * n] = INFINITY;
  fixture.write();
  for (PlannedTensor& t : fixture.tensors) {
    for (Slab& slab : t.slabs) slab.source.weights.file = fixture.file.get();
  }
  for (const int n_threads : {1, 2, 8}) {
    for (int repeat = 0; repeat < 5; ++repeat) {
      std::string out;
      const Status status = fixture.run(n_threads, out);
      REQUIRE_FALSE(status);
      CHECK(status.error().code == Errc::kContent);
      CHECK(status.error().message.find("tensor 't1': nan at index 5 (row 0, column 5)") !=
            std::string::npos);
    }
  }
}

TEST_CASE("an error of the writer and an interruption end the run") {
  const Fixture fixture(2);
  const auto shape = plan_pipeline(fixture.tensors, 4);
  REQUIRE(shape);
  int n_written = 0;
  const auto full = [&](const Piece&, std::span<const std::byte>) -> Status {
    return ++n_written < 3 ? Status{} : fail(Errc::kIo, "no space");
  };
  const Status failed = run_pipeline(fixture.tensors, *shape, full, [] { return true; });
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "no space");
  CHECK(n_written == 3);
}

TEST_CASE("memory stays bounded, whatever the model and the threads") {
  constexpr uint64_t kMax = uint64_t{800} << 20;
  const Fixture fixture(1);
  const auto with = [&](const Shape& shape, bool transposed, int n_threads) {
    std::vector<PlannedTensor> tensors = fixture.tensors;
    tensors[0].desc.shape = shape;
    tensors[0].slabs.resize(1);
    tensors[0].slabs[0].source.weights.shape = shape;
    tensors[0].slabs[0].n_rows = shape.rows();
    tensors[0].slabs[0].transposed = transposed;
    return plan_pipeline(tensors, n_threads);
  };
  for (const int n_threads : {1, 2, 16, 512}) {
    for (const Shape& shape : {Shape{102400, 5120}, Shape{160 * 5120, 1536}, Shape{4, 1 << 20}}) {
      const auto plan = with(shape, false, n_threads);
      REQUIRE(plan);
      CHECK(plan->memory_bytes <= kMax);
      CHECK(plan->n_workers >= 1);
      CHECK(plan->n_workers <= static_cast<size_t>(n_threads));
      CHECK(plan->n_slots >= 3);
    }
  }
  CHECK(with({102400, 5120}, false, 16)->n_workers == 16);
  const auto too_large = with({2048, 1 << 16}, true, 1);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == Errc::kMemory);
}
