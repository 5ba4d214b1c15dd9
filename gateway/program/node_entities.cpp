// What lives on a node, and what it works with.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <caf/send.hpp>

#include "actors/llm/collect.hpp"
#include "actors/own_json.hpp"
#include "actors/session.hpp"
#include "actors/soul.hpp"
#include "actors/tenant.hpp"
#include "actors/traffic.hpp"
#include "actors/turn.hpp"
#include "gateway/program/node_impl.hpp"
#include "runtime/bus/payloads.hpp"
#include "runtime/bus/subjects.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

void audit(tenant_id tenant, const persona::audit_entry& x) {
  // Not the action: it is the caller's text, and texts are in no log.
  log::info("governance", {{"stream", "audit"},
                           {"tenant_id", tenant.text()},
                           {"operation", x.operation},
                           {"confidence", x.confidence},
                           {"severity", x.severity},
                           {"was_deep", x.was_deep}});
}

void publish_invocation(runtime::bus::event_bus& bus, const runtime::agentese::mark& x) {
  auto subject = runtime::bus::agentese_subject(x.node, x.aspect);
  if (!subject)
    return;  // an aspect that no node has was asked for under a name that is no token
  runtime::bus::publication out;
  out.lane = x.tenant.value;
  out.subject = std::move(*subject);
  out.id = x.event_id.text();
  out.payload = runtime::bus::invocation_payload(x);
  out.kind = "agentese";
  bus.publish(std::move(out));
}

}  // namespace

runtime::region::observer running_node::impl::region_observer() {
  runtime::region::observer out;
  out.count = [this](entity_kind kind, int change) {
    auto& gauge = metrics_.entities(to_string(kind));
    change > 0 ? gauge.Increment() : gauge.Decrement();
  };
  out.crashed = [this](const entity_id& id, const caf::error& why) {
    const bool fenced = why == runtime::fenced_error();
    if (fenced) {
      metrics_.cluster.fenced.Increment();
      members_->look_after(id);
    } else {
      log::error("entity crashed",
                 {{"kind", to_string(id.kind)}, {"tenant_id", id.tenant.text()}});
    }
    ports_.entity_lost(id, fenced);
  };
  out.dropped = [this](const entity_id& id) { ports_.entity_lost(id, true); };
  return out;
}

/// Usage and Stripe's events on the bus; none without a bus.
metering::relay::publish running_node::impl::announcer() {
  if (!bus_.enabled())
    return {};
  return [this](metering::announcement x, std::function<void(bool)> done) {
    runtime::bus::publication out;
    out.lane = x.lane;
    out.subject = std::move(x.subject);
    out.id = std::move(x.id);
    out.payload = std::move(x.payload);
    out.kind = "billing";
    out.done = std::move(done);
    bus_.publish(std::move(out));
  };
}

runtime::bus::probe running_node::impl::bus_probe() {
  runtime::bus::probe out;
  out.published = [this](std::string_view kind) { metrics_.nats_published(kind).Increment(); };
  out.failed = [this] { metrics_.nats_publish_errors.Increment(); };
  out.dropped = [this](size_t events) {
    metrics_.nats_dropped.Increment(static_cast<double>(events));
  };
  return out;
}

runtime::log_writer_probe running_node::impl::writer_probe() {
  runtime::log_writer_probe out;
  if (bus_.enabled())
    out.durable = [this](const entity_id& session, std::span<const event_ptr> chunks) {
      bus_.session_events(session, chunks);
    };
  out.committed = [this](size_t rows, double seconds) {
    metrics_.chunks.Increment(static_cast<double>(rows));
    metrics_.log_commits.Increment();
    metrics_.log_commit_seconds.Observe(seconds);
  };
  return out;
}

/// The table's aspects have their counters from the start.
actors::logos::observer running_node::impl::invocation_observer() {
  using probes = std::unordered_map<const actors::aspect_entry*, runtime::aspect_probe>;
  auto all = std::make_shared<probes>();
  for (const auto* node : actors::all_nodes().list())
    for (const auto& aspect : node->aspects()) {
      std::vector<std::pair<std::string, std::string>> effects;
      for (const auto& text : agentese::to_texts(aspect.effects)) {
        const auto colon = text.find(':');
        if (colon != std::string::npos)
          effects.emplace_back(text.substr(0, colon),
                               text.substr(colon + 1, text.find(' ') - colon - 1));
      }
      all->emplace(&aspect, metrics_.invocations.make(
                                std::string{node->path()}, to_string(node->context()),
                                aspect.name(), to_string(aspect.spec->category), effects));
    }
  actors::logos::observer out;
  out.in_flight = [this](int change) { metrics_.invocations.in_flight.Increment(change); };
  out.ended = [this, all = std::move(all)](const actors::invoked& x) {
    if (const auto* wrong = std::get_if<agentese::error>(&x.result))
      metrics_.invocations.failed(
          wrong->code, x.node.empty() ? std::string_view{"none"}
                                      : agentese::first_segment(x.node));
    const auto at = all->find(x.entry);
    if (at == all->end())
      return;  // what was not found, or not afforded, is counted by its error
    using enum runtime::invocation_end;
    const auto how = x.ok() ? ok : x.result.index() == 1 ? error : refused;
    at->second.count(how, x.duration_ms / 1e3, x.tokens_in, x.tokens_out);
  };
  return out;
}

runtime::agentese::journal_probe running_node::impl::journal_probe() {
  runtime::agentese::journal_probe out;
  auto& counted = metrics_.subscriptions;
  out.committed = [&counted](size_t marks, double seconds) {
    counted.journal_marks.Increment(static_cast<double>(marks));
    counted.journal_seconds.Observe(seconds);
  };
  out.retried = [&counted] { counted.journal_retries.Increment(); };
  if (bus_.enabled())
    out.written = [this](const runtime::agentese::mark& x) { publish_invocation(bus_, x); };
  out.dropped = [&counted](size_t marks, const char* why) {
    auto& kind = why == std::string_view{"full"} ? counted.journal_full : counted.journal_rejected;
    kind.Increment(static_cast<double>(marks));
  };
  out.refused = [this] { metrics_.usage.refused.Increment(); };
  return out;
}

billing::stripe_probe running_node::impl::stripe_probe() {
  return {.processed = [this](auto type) { metrics_.stripe_processed(type).Increment(); },
          .failed = [this] { metrics_.stripe_errors("processing").Increment(); }};
}

/// Where no secret is set no event comes in.
void running_node::impl::apply_stripe_events() {
  const auto& roles = config_.roles;
  if (!config_.stripe.webhook_secret.empty() &&
      std::find(roles.begin(), roles.end(), runtime::node_role::meter) != roles.end())
    stripe_.worker.start();
}

llm::call_observer running_node::impl::call_observer() {
  return
      [this](std::string_view provider, std::string_view model, std::string_view outcome,
             double seconds) { metrics_.llm_request(provider, model, outcome).Observe(seconds); };
}

std::function<bool(const entity_id&, const caf::actor_addr&)> running_node::impl::retire() {
  return [this](const entity_id& id, const caf::actor_addr& self) {
    return region_.retire(id, self);
  };
}

caf::actor running_node::impl::start_turn(llm::prompt ask, turn_id id, lease_epoch epoch, caf::actor session) {
  const auto i = next_thread_.fetch_add(1) % threads_.size();
  auto call = system_.spawn<actors::turn>(
      &ports_.unit(i), threads_[i],
      actors::turn::task{id, epoch, std::move(ask), std::move(session), providers_});
  turns_.add(id, call);
  call->attach_functor([this, id, which = call.id()] { turns_.remove(id, which); });
  return call;
}

/// The model call of a turn whose session came here: it may run here too, or where it began.
caf::actor running_node::impl::adopt_turn(const runtime::moving_turn& x, const caf::actor& session) {
  if (x.worker != members_->self())
    return mesh_.adopt(x.worker, x.turn, session);
  auto call = turns_.find(x.turn);
  if (call)
    caf::anon_send(call, runtime::turn_home{session});
  return call;
}

void running_node::impl::serve_entities() {
  serve_sessions();
  auto tenants = std::make_shared<actors::tenant_services>();
  tenants->database = database_;
  tenants->gates = &gates_;
  tenants->retire = retire();
  region_.serve(entity_kind::tenant, [this, tenants](const entity_id& id, lease_epoch) -> caf::actor {
    return system_.spawn<actors::tenant>(id, tenants);
  });
  serve_traffic();
  serve_souls();
  serve_contexts();
}

void running_node::impl::serve_traffic() {
  auto with = std::make_shared<actors::traffic_services>();
  with->gates = &gates_;
  with->self = [this] { return members_->self(); };
  with->retire = retire();
  region_.serve(entity_kind::traffic, [this, with](const entity_id& id, lease_epoch) -> caf::actor {
    return system_.spawn<actors::traffic>(id, with);
  });
}

admission::parts running_node::impl::admission_parts() {
  return {.where = routes_,
          .ports = ports_,
          .pool = planes_.app(),
          .metrics = metrics_,
          .self = [this] { return members_->self(); },
          .nodes =
              [this] {
                const auto now = members_->status();
                const auto up =
                    std::count_if(now->view.members.begin(), now->view.members.end(),
                                  [](const auto& x) { return x.state == member_state::up; });
                return static_cast<size_t>(std::max<std::ptrdiff_t>(1, up));
              },
          .saturated_at = limits::saturated_at,
          .trusts_loopback = config_.env == runtime::environment::dev};
}

void running_node::impl::serve_sessions() {
  auto sessions = std::make_shared<actors::session_services>();
  sessions->database = database_;
  sessions->logs = &logs_;
  sessions->show_at_once = writer_.mode() == runtime::durability::memory;
  sessions->appended = [this](const runtime::log_ptr& x) { writer_.appended(x); };
  sessions->advanced = [this](const runtime::log_ptr& x) { hubs_.notify(x); };
  if (bus_.enabled())
    sessions->publish = [this](const entity_id& session, const event_ptr& x) {
      bus_.session_events(session, std::span{&x, 1});
    };
  sessions->start_turn = [this](auto&&... xs) {
    return start_turn(std::forward<decltype(xs)>(xs)...);
  };
  sessions->retire = retire();
  sessions->turn_permit = [this](tenant_id tenant, std::string_view tier) {
    const auto gate = tier.empty() ? gates_.of(tenant) : gates_.of(tenant, tier);
    return runtime::permits::take(gate->turns);
  };
  sessions->most_answering = [](tenant_id, std::string_view tier) {
    return tier.empty() ? 0 : runtime::concurrency_of(tier).turns;
  };
  sessions->turn_ended = [this](tenant_id, api_key_id key, std::string_view status,
                                uint64_t tokens) {
    metrics_.turns(status).Increment();
    if (const auto gate = gates_.find(key))
      gate->add_tokens(
          tokens, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  };
  sessions->arrived = [this](const entity_id& id) { return arrivals_.take(id); };
  sessions->adopt_turn = [this](const runtime::moving_turn& x, const caf::actor& session) {
    return adopt_turn(x, session);
  };
  sessions->self = [this] { return members_->self(); };
  region_.serve(entity_kind::session,
                [this, sessions](const entity_id& id, lease_epoch lease) -> caf::actor {
                  return system_.spawn<actors::session>(id, sessions, lease);
                });
}

void running_node::impl::serve_souls() {
  auto souls = std::make_shared<actors::soul_services>();
  souls->database = database_;
  souls->ask = model_asker();
  souls->has_model = has_model();
  souls->retire = retire();
  souls->audit = audit;
  region_.serve(entity_kind::soul, [this, souls](const entity_id& id, lease_epoch) -> caf::actor {
    return system_.spawn<actors::soul>(id, souls);
  });
}

/// The five contexts of each tenant, all of one class: what they do is in the table of nodes.
void running_node::impl::serve_contexts() {
  auto with = std::make_shared<actors::context_services>();
  with->database = database_;
  with->nodes = &actors::all_nodes();
  with->ask_model = model_asker();
  with->has_model = has_model();
  with->retire = retire();
  with->invoke = [this](actors::context_services::nested x, auto done) {
    invoke_nested(std::move(x), std::move(done));
  };
  with->send_message_to = [this](tenant_id tenant, session_id session, send_message what, auto done) {
    const auto i = next_thread_.fetch_add(1) % threads_.size();
    boost::asio::post(threads_[i].context(), [this, i, to = session_entity(tenant, session),
                                              what = std::move(what), done]() mutable {
      ports_[i].ask<accepted>(to, std::move(what), std::move(done));
    });
  };
  with->audit = audit;
  with->vitals = [this] { return vitals(); };
  using enum entity_kind;
  for (const auto kind : {world, self, concept_, void_, time})
    region_.serve(kind, [this, with](const entity_id& id, lease_epoch lease) -> caf::actor {
      return system_.spawn<actors::context>(id, with, lease);
    });
}

/// An aspect that invokes another: as a client's request, from a thread that serves clients.
void running_node::impl::invoke_nested(
    actors::context_services::nested x,
    std::function<void(actors::context_services::nested_answer)> done) {
  actors::invocation what;
  what.tenant = x.tenant;
  what.path = std::move(x.path);
  what.kwargs = std::move(x.kwargs);
  what.who = std::move(x.who);
  what.by = std::move(x.by);
  what.origin = std::move(x.origin);
  what.trace_id = std::move(x.trace_id);
  what.parent_span = std::move(x.parent_span);
  what.caller_path = std::move(x.caller_path);
  what.billed = x.billed;
  what.internal = x.internal;
  what.strict = x.strict;
  what.depth = x.depth;
  const auto i = next_thread_.fetch_add(1) % threads_.size();
  boost::asio::post(threads_[i].context(), [this, i, what = std::move(what),
                                            done = std::move(done)]() mutable {
    logos_.invoke(ports_[i], std::move(what), [done = std::move(done)](actors::invoked got) {
      actors::context_services::nested_answer out;
      out.tokens_in = got.tokens_in;
      out.tokens_out = got.tokens_out;
      out.result = got.ok() ? actors::outcome{actors::parse_own(got.body)} : std::move(got.result);
      done(std::move(out));
    });
  });
}

/// What `self.vitals` tells of the process: figures, no secrets, and not which node it is: clients
/// need not know.
boost::json::object running_node::impl::vitals() {
  const auto pool = pool_.stats();
  const auto now = members_->status();
  return {{"database", ready_.database ? "ok" : "out of reach"},
          {"pool", boost::json::object{{"connected", pool.connected},
                                       {"queued", pool.queued},
                                       {"in_flight", pool.in_flight}}},
          {"entities", region_.live()},
          {"in_flight", region_.in_flight()},
          {"answers", turns_.size()},
          {"uncommitted_bytes", logs_.uncommitted_bytes()},
          {"membership", to_string(now->state)}};
}

running_node::impl::model_function running_node::impl::model_asker() {
  return [this](llm::prompt ask, size_t most, auto done) {
    const auto i = next_thread_.fetch_add(1) % threads_.size();
    llm::post_collect(providers_, threads_[i], std::move(ask), most, std::move(done));
  };
}

bool running_node::impl::has_model() const {
  return std::any_of(config_.llm.begin(), config_.llm.end(),
                     [](auto x) { return x != runtime::provider_kind::embedded; });
}

/// Checks capability tokens that callers present, and the keys they came from.
actors::logos::prove running_node::impl::prover() {
  using proven = actors::logos::proven;
  return [this, known = actors::known_scopes(actors::all_nodes())](
             runtime::port& on, tenant_id tenant, const std::string& token,
             std::function<void(proven)> done) {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto held = capabilities_.verify(tenant, token, now);
    if (auto* wrong = std::get_if<1>(&held)) {
      done(std::move(*wrong));
      return;
    }
    const auto& what = std::get<0>(held);
    const auto answer = std::make_shared<proven>(actors::proven_scopes(what, known));
    const auto back = on.later([answer, done] { done(std::move(*answer)); });
    if (!back) {
      done(agentese::errors::unavailable(
          "", "Whether the capability token still holds cannot be seen here", 1));
      return;
    }
    access_.ask(actors::keys_behind(what), what.not_before,
                [answer, back](access_watch::standing x) {
      if (x == access_watch::standing::gone)
        *answer = actors::revoked_capability();
      else if (x == access_watch::standing::unreachable)
        *answer = agentese::errors::unavailable(
            "", "Whether the capability token still holds cannot be seen just now", 1);
      back();
    });
  };
}

}  // namespace kgents::gateway
