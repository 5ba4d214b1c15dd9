// The worker that follows the outbox, where the node has that role.

#include <algorithm>

#include "gateway/program/node_impl.hpp"

namespace kgents::gateway {

namespace {

cdc::publisher publisher_to(runtime::bus::event_bus& bus) {
  cdc::publisher out;
  out.ready = [&bus] { return bus.look().now == runtime::bus::status::healthy; };
  out.publish = [&bus](cdc::announcement x, std::function<void(bool)> done) {
    runtime::bus::publication what;
    what.lane = x.row;
    what.subject = std::move(x.subject);
    what.id = std::move(x.id);
    what.payload = std::move(x.payload);
    what.kind = "entity";
    what.done = std::move(done);
    bus.publish(std::move(what));
  };
  return out;
}

}  // namespace

/// It runs where it has something to feed; elsewhere changes stay where they are.
void running_node::impl::follow_changes() {
  const auto& roles = config_.roles;
  const bool mine = std::find(roles.begin(), roles.end(), runtime::node_role::cdc) != roles.end();
  if (!mine || (config_.cdc.qdrant_url.empty() && !bus_.enabled()))
    return;
  cdc::worker_options with;
  with.how = config_.cdc;
  with.openai = config_.openai;
  if (bus_.enabled())
    with.bus = publisher_to(bus_);
  with.thread_index = config_.io_threads + 1;
  cdc_ = std::make_unique<cdc::worker>(std::move(with), control_, metrics_.cdc);
  cdc_view_.worker = cdc_.get();
  cdc_->start();
}

}  // namespace kgents::gateway
