#pragma once

#include <boost/json/object.hpp>
#include <functional>

namespace kgents::gateway {

/// How the services beside the server are, each by its own account: `configured`, `status`
/// (healthy, unhealthy, degraded, disconnected, circuit_open, disabled, not_started or error) and
/// whatever else it has to say. Called on I/O threads; they wait for nothing. None: disabled.
struct saas_parts {
  using part = std::function<boost::json::object()>;
  part openmeter{};
  part nats{};
  part stripe{};
  part redis{};
};

/// The body of /health/saas (http-api.md 5.3): `degraded` when one that is configured is not
/// healthy, `not_started` when none runs, else `ok`. It never gates traffic: none of them is needed
/// to answer a request.
[[nodiscard]] boost::json::object saas_health(const saas_parts& parts);

}  // namespace kgents::gateway
