// Feeds any bytes to the reader of GGUF files and to what reads its metadata. Nothing may crash,
// read outside the file or take much memory; what is said does not matter.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "models/chat_template.h"
#include "models/deepseek2/config.h"
#include "models/sampling_defaults.h"
#include "models/tokenizer.h"
#include "runtime/gguf_reader.h"

namespace {

void read_everything(const minke::GgufFile& file) {
  unsigned sum = 0;
  for (const auto& tensor : file.tensors()) {
    for (const std::byte b : tensor.data) sum += std::to_integer<unsigned>(b);
  }
  for (const auto& entry : file.entries()) {
    for (const std::byte b : entry.encoded) sum += std::to_integer<unsigned>(b);
    (void)file.get_int(entry.key);
    (void)file.get_string(entry.key);
    (void)file.get_strings(entry.key);
    (void)file.get_ints(entry.key);
    (void)file.get_floats(entry.key);
  }
  // The sum must be used, or the reads would be left out.
  if (sum == 1) (void)file.file_bytes();
  (void)minke::deepseek2::read_config(file);
  (void)minke::sampling_defaults(file);
  (void)minke::Tokenizer::from_gguf(file);
  (void)minke::ChatTemplate::from_gguf(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("fuzz", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const auto file = minke::GgufFile::open("/proc/self/fd/" + std::to_string(fd));
  close(fd);
  if (file) read_everything(*file);
  return 0;
}
