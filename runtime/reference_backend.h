// Runs every op by its scalar reference: the oracle that the other backends are tested against.
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace minke {

/// "reference"; one thread, supports everything.
std::unique_ptr<Backend> make_reference_backend();

}  // namespace minke
