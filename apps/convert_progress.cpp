#include "apps/convert_progress.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "apps/cli.h"

namespace minke::apps {
namespace {

constexpr double kTerminalInterval = 0.2;  // seconds
constexpr double kLogInterval = 30.0;

}  // namespace

std::string size_text(uint64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.995 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string duration_text(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(std::min(seconds, 1e9)));
  const int64_t hours = total / 3600, minutes = total / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

std::string progress_text(const convert::Progress& progress) {
  const double share = progress.bytes_total == 0 ? 1.0
                                                 : static_cast<double>(progress.bytes_done) /
                                                       static_cast<double>(progress.bytes_total);
  return fmt::format("{:.1f} %, {} of {}, {}/s, {} left, {}", 100 * share,
                     size_text(progress.bytes_done), size_text(progress.bytes_total),
                     size_text(static_cast<uint64_t>(progress.bytes_per_second())),
                     duration_text(progress.seconds_left()), progress.tensor);
}

ConvertProgressLine::ConvertProgressLine() {
  if (!line_.enabled()) next_ = kLogInterval;
}

void ConvertProgressLine::show(const convert::Progress& progress) {
  if (progress.seconds < next_) return;
  next_ = progress.seconds + (line_.enabled() ? kTerminalInterval : kLogInterval);
  const std::string text = progress_text(progress);
  if (line_.enabled()) {
    line_.show(text);
  } else {
    print_note(text);
  }
}

}  // namespace minke::apps
