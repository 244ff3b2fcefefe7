#include "convert/imatrix.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/gguf_reader.h"
#include "runtime/gguf_writer.h"
#include "tests/support.h"

using namespace minke;
using namespace minke::convert;

namespace {

ImportanceMatrix example() {
  ImportanceMatrix matrix;
  matrix.entries["blk.0.attn_q.weight"] = {{2, 8, 18}, {2}};
  matrix.entries["blk.1.ffn_up_exps.weight"] = {{64, 128, 0, 0}, {64, 0}};
  matrix.datasets = {"text.txt"};
  matrix.n_chunks = 3;
  matrix.chunk_tokens = 512;
  return matrix;
}

/// A legacy file put together by hand.
class Legacy {
 public:
  Legacy& number(int32_t value) { return append(&value, sizeof(value)); }
  Legacy& text(const std::string& value) {
    return number(static_cast<int32_t>(value.size())).append(value.data(), value.size());
  }
  Legacy& values(const std::vector<float>& values) {
    return number(static_cast<int32_t>(values.size()))
        .append(values.data(), values.size() * sizeof(float));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Legacy& append(const void* data, size_t n) {
    bytes_.append(static_cast<const char*>(data), n);
    return *this;
  }
  std::string bytes_;
};

void check_refused(const std::filesystem::path& path, Errc code, const std::string& part) {
  const auto read = read_imatrix(path);
  REQUIRE_FALSE(read);
  CAPTURE(read.error().message);
  CHECK(read.error().code == code);
  CHECK(read.error().message.find(path.filename().string()) != std::string::npos);
  CHECK(read.error().message.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("imatrix: what is written is read again, under llama.cpp's names") {
  const test::TempDir dir;
  const ImportanceMatrix matrix = example();
  REQUIRE(write_imatrix(dir / "i.gguf", matrix));
  const auto read = read_imatrix(dir / "i.gguf");
  REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
  CHECK(read->datasets == matrix.datasets);
  CHECK(read->n_chunks == 3);
  CHECK(read->chunk_tokens == 512);
  REQUIRE(read->entries.size() == 2);
  for (const auto& [name, entry] : matrix.entries) {
    const ImportanceEntry* again = read->find(name);
    REQUIRE(again != nullptr);
    CHECK(again->sums == entry.sums);
    CHECK(again->counts == entry.counts);
  }
  CHECK(read->find("blk.2.attn_q.weight") == nullptr);
  const auto file = GgufFile::open(dir / "i.gguf");
  REQUIRE(file);
  CHECK(file->get_string("general.type") == "imatrix");
  const GgufTensor* sums = file->find_tensor("blk.1.ffn_up_exps.weight.in_sum2");
  const GgufTensor* counts = file->find_tensor("blk.1.ffn_up_exps.weight.counts");
  REQUIRE(sums != nullptr);
  REQUIRE(counts != nullptr);
  CHECK(sums->desc.shape == Shape{2, 2});
  CHECK(counts->desc.shape == Shape{2, 1});
}

TEST_CASE("imatrix: an expert that saw little takes over what the others saw") {
  const ImportanceMatrix matrix = example();
  const ImportanceEntry& plain = *matrix.find("blk.0.attn_q.weight");
  const auto mean = column_importance(plain, 1, 0);
  CHECK(mean[0] == doctest::Approx(1));
  CHECK(mean[2] == doctest::Approx(9));
  const ImportanceEntry& experts = *matrix.find("blk.1.ffn_up_exps.weight");
  CHECK(column_importance(experts, 2, 0)[0] == doctest::Approx(1));
  CHECK(column_importance(experts, 2, 0)[1] == doctest::Approx(2));
  CHECK(column_importance(experts, 2, 1)[1] == doctest::Approx(2));
  // Half way between its own and that of all, at kFewRows rows.
  const ImportanceEntry few{{0, 32, 32 * 32, 0}, {32, 32}};
  CHECK(column_importance(few, 2, 0)[0] == doctest::Approx((0 + 16) / 2.0));
  CHECK(column_importance({{0, 0}, {0}}, 1, 0) == std::vector<float>{1, 1});
  CHECK(check_fits("w", experts, 2, 2));
  CHECK(check_fits("w", experts, 2, 3).error().code == Errc::kShape);
  CHECK_FALSE(check_fits("w", experts, 1, 4));
}

TEST_CASE("imatrix: legacy files, with and without their end") {
  const test::TempDir dir;
  Legacy file;
  file.number(2).text("a.weight").number(4).values({4, 8}).text("e_exps.weight").number(10);
  file.values({10, 20, 0, 0});
  test::write_file(dir / "i.dat", file.bytes());
  auto read = read_imatrix(dir / "i.dat");
  REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
  CHECK(column_importance(*read->find("a.weight"), 1, 0) == std::vector<float>{1, 2});
  const ImportanceEntry& experts = *read->find("e_exps.weight");
  CHECK(check_fits("e_exps.weight", experts, 2, 2));
  CHECK(column_importance(experts, 2, 0) == std::vector<float>{1, 2});
  CHECK(column_importance(experts, 2, 1)[0] > 0);
  file.number(7).text("words");
  test::write_file(dir / "i.dat", file.bytes());
  read = read_imatrix(dir / "i.dat");
  REQUIRE(read);
  CHECK(read->n_chunks == 7);
  CHECK(read->datasets == std::vector<std::string>{"words"});
  // Every file that ends too early is refused, but where only the optional end is missing.
  const size_t entries_end = file.bytes().size() - 4 - 4 - 5;
  for (size_t n = 1; n < file.bytes().size(); ++n) {
    CAPTURE(n);
    test::write_file(dir / "cut.dat", file.bytes().substr(0, n));
    CHECK(read_imatrix(dir / "cut.dat").has_value() == (n == entries_end || n == entries_end + 4));
  }
}

TEST_CASE("imatrix: malformed files") {
  const test::TempDir dir;
  const auto legacy = [&](const Legacy& file, const std::string& part) {
    test::write_file(dir / "bad.dat", file.bytes());
    check_refused(dir / "bad.dat", Errc::kContent, part);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  check_refused(dir / "none", Errc::kMissing, "");
  legacy(Legacy().number(0), "offset 0x0: number of entries (got 0");
  legacy(Legacy().number(-1), "number of entries (got -1");
  legacy(Legacy().number(1 << 30).number(1), "number of entries");
  legacy(Legacy().number(1).number(1 << 30).text("a").number(1).values({1}), "length of the name");
  legacy(Legacy().number(1).text("").number(1).values({1, 1}), "length of the name (got 0");
  legacy(Legacy().number(1).text("\xFF").number(1).values({1}), "not text");
  legacy(Legacy().number(1).text("a").number(-1).values({1}), "calls (got -1)");
  legacy(Legacy().number(1).text("a").number(1).number(-5).number(0), "number of values (got -5");
  legacy(Legacy().number(1).text("a").number(1).number(9).number(0), "number of values (got 9");
  legacy(Legacy().number(1).text("a").number(1).values({1, -1}), "value (got -1");
  legacy(Legacy().number(1).text("a").number(1).values({nan}), "value (got nan");
  legacy(Legacy().number(2).text("a").number(1).values({1}).text("a").number(1).values({1}),
         "'a' is there twice");
  legacy(Legacy().number(1).text("a").number(1).values({1}).number(1).text("t").number(1),
         "4 bytes too many");

  const auto gguf = [&](auto&& fill, const std::string& part) {
    auto writer = GgufWriter::create(dir / "bad.gguf");
    REQUIRE(writer);
    fill(*writer);
    REQUIRE(writer->finish());
    check_refused(dir / "bad.gguf", Errc::kContent, part);
  };
  const auto tensors = [](GgufWriter& writer,
                          const std::vector<std::pair<std::string, Shape>>& list, float value = 1) {
    writer.set_string("general.type", "imatrix");
    for (const auto& [name, shape] : list) writer.add_tensor(name, {DType::kF32, shape});
    REQUIRE(writer.begin_data());
    for (const auto& [name, shape] : list) {
      const std::vector<float> values(static_cast<size_t>(shape.elements()), value);
      REQUIRE(writer.write(std::as_bytes(std::span(values))));
    }
  };
  gguf([](GgufWriter& w) { REQUIRE(w.begin_data()); }, "general.type");
  gguf([&](GgufWriter& w) { tensors(w, {}); }, "holds no sums");
  gguf([&](GgufWriter& w) { tensors(w, {{"a.in_sum2", Shape{4}}}); }, "counts are missing");
  gguf([&](GgufWriter& w) { tensors(w, {{"a.counts", Shape{4}}}); }, "no importance matrix has it");
  gguf([&](GgufWriter& w) { tensors(w, {{"a.weight", Shape{4}}}); }, "no importance matrix has it");
  gguf(
      [&](GgufWriter& w) {
        tensors(w, {{"a.in_sum2", Shape{4}}, {"a.counts", Shape{3}}});
      },
      "4 sums do not fit 3 counts");
  gguf(
      [&](GgufWriter& w) {
        tensors(w, {{"a.in_sum2", Shape{4}}, {"a.counts", Shape{1}}}, -1);
      },
      "value 0 (got -1");
  ImportanceMatrix matrix = example();
  matrix.entries.begin()->second.sums[0] = std::numeric_limits<float>::infinity();
  CHECK(write_imatrix(dir / "inf.gguf", matrix).error().code == Errc::kContent);
  CHECK_FALSE(std::filesystem::exists(dir / "inf.gguf"));
}
