// How much the predictions of a model suffer when one of its weights is stored with errors.
#pragma once

#include "apps/chunk_options.h"
#include "convert/imatrix.h"
#include "models/chunks.h"
#include "models/model.h"
#include "runtime/result.h"

namespace minke::apps {

/// Fills matrix.sensitivities. One matrix after another is replaced by what 4-bit blocks make of
/// it, and the text is read: the KL divergence of the scored predictions, divided by the relative
/// error of what comes out of the matrix (see convert/auto_types.h). Takes one pass over `text` for
/// each matrix, and memory for the predictions of one pass. The model is as before afterwards.
/// Errors: kCancelled (Ctrl-C), those of a pass.
Status measure_sensitivities(const ChunkOptions& options, Model& model, const ChunkedText& text,
                             convert::ImportanceMatrix& matrix);

}  // namespace minke::apps
