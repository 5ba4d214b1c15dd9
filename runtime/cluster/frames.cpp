#include "runtime/cluster/frames.hpp"

namespace kgents::runtime::cluster {

wire_event::wire_event(const stream_event& x) : kind{x.kind()}, place{x.place()} {
  if (x.kind() == event_kind::chunk)
    body = x.text;
  else if (x.end != nullptr)
    end = *x.end;
  else
    body = x.data();
}

event_ptr wire_event::make() const {
  const auto index = static_cast<chunk_index>(place.index);
  switch (kind) {
    case event_kind::chunk:
      return make_chunk_event(place.turn, place.epoch, index, body);
    case event_kind::complete:
      return make_complete_event(place.turn, place.epoch, index, end);
    case event_kind::error:
      return make_error_event(place.turn, place.epoch, index, end);
    case event_kind::turn:
    case event_kind::gap:
      break;
  }
  return std::make_shared<stream_event>(kind, place, body);
}

}  // namespace kgents::runtime::cluster
