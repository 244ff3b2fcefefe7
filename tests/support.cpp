#include "tests/support.h"

#include <stdlib.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

namespace minke::test {

namespace fs = std::filesystem;

fs::path data_path(std::string_view name) {
  return fs::path(MINKE_SOURCE_DIR) / "tests/data" / name;
}

fs::path shared_path_or_skip(std::string_view name) {
  const char* dir = std::getenv("MINKE_SHARED_DIR");
  const fs::path base = dir != nullptr ? fs::path(dir) : fs::path(MINKE_SOURCE_DIR) / "../shared";
  if (fs::exists(base / name)) return base / name;
  std::cout << "skipped: " << name << " is not here\n";
  return {};
}

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "minke-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace minke::test
