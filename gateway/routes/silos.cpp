// The operator's view of tenants' own databases: asking for one, watching it come to be, giving it
// up (data.md section 12). To anybody but the operator these routes do not exist.

#include <boost/asio/post.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include "gateway/route.hpp"
#include "runtime/silo_worker.hpp"
#include "sql/silos.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// A year: who wants to keep what stays behind for longer has made a mistake.
constexpr int64_t most_purge_seconds = 365 * 86400;

constexpr field request_fields[] = {
    {.name = "dsn_ref",
     .nullable = true,
     .meaning = "name of the secret with the database's URLs; none: kgents-silo-<slug>, and where "
                "there is no such secret a database of the shared server",
     .max_bytes = 253},
    {.name = "purge_after_seconds",
     .type = value_type::integer,
     .default_json = "604800",
     .meaning = "from the cut-over until the rows that stayed in the shared database go",
     .least = 0,
     .most = most_purge_seconds},
};
constexpr schema request_body{"SiloRequest", request_fields};

constexpr field silo_fields[] = {
    {.name = "tenant_id", .required = true},
    {.name = "slug", .required = true},
    {.name = "database", .required = true},
    {.name = "dsn_ref", .required = true},
    {.name = "state",
     .required = true,
     .meaning = "requested, creating, migrating, copying, cutover, active or failed"},
    {.name = "reason", .required = true, .nullable = true, .meaning = "of the last failure"},
    {.name = "waiting_for",
     .required = true,
     .nullable = true,
     .meaning = "why nobody works on it, when nobody does"},
    {.name = "attempts", .type = value_type::integer, .required = true},
    {.name = "cancel_requested", .type = value_type::boolean, .required = true},
    {.name = "details",
     .type = value_type::object,
     .required = true,
     .meaning = "how far the copy is; once it is done its tables with rows and checksums"},
    {.name = "created_at", .required = true},
    {.name = "updated_at", .required = true},
    {.name = "activated_at", .required = true, .nullable = true},
    {.name = "purge_after_seconds", .type = value_type::integer, .required = true},
    {.name = "purge_at", .required = true, .nullable = true},
    {.name = "purged_at", .required = true, .nullable = true},
};
constexpr schema silo_shape{"Silo", silo_fields};

constexpr field list_fields[] = {{.name = "silos", .type = value_type::array, .required = true}};
constexpr schema list_shape{"SiloList", list_fields};

constexpr field canceled_fields[] = {
    {.name = "status", .required = true, .meaning = "canceled, or removing"}};
constexpr schema canceled_shape{"SiloCanceled", canceled_fields};

/// In the shared database, and continues on the request's thread.
template <class T, class F>
void ask(const call_ptr& c, sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(c->at.silos.control, std::move(what), [c, done](sql::answer<T> out) {
    boost::asio::post(c->x->thread().context(), [c, done, out = std::move(out)]() mutable {
      if (auto* value = std::get_if<0>(&out))
        done(std::move(*value));
      else
        c->refuse(actors::refused_by_database(std::get<1>(out)));
    });
  });
}

json::value text_or_null(const std::optional<std::string>& x) {
  return x ? json::value(*x) : json::value{};
}

json::object silo_json(const sql::silos::silo& x) {
  const bool under_way = x.cancel_requested || (x.state != "active" && x.state != "failed");
  json::value waiting_for;
  if (under_way && !x.worked_on)
    waiting_for = "a node with DATABASE_ADMIN_URL: none is there";
  boost::system::error_code malformed;
  auto details = json::parse(x.details, malformed);
  return {{"tenant_id", x.tenant.text()},
          {"slug", x.slug},
          {"database", x.database},
          {"dsn_ref", x.dsn_ref},
          {"state", x.state},
          {"reason", text_or_null(x.reason)},
          {"waiting_for", std::move(waiting_for)},
          {"attempts", x.attempts},
          {"cancel_requested", x.cancel_requested},
          {"details", malformed ? json::value(json::object{}) : std::move(details)},
          {"created_at", x.created_at},
          {"updated_at", x.updated_at},
          {"activated_at", text_or_null(x.activated_at)},
          {"purge_after_seconds", x.purge_after_seconds},
          {"purge_at", text_or_null(x.purge_at)},
          {"purged_at", text_or_null(x.purged_at)}};
}

std::optional<tenant_id> tenant_of(const call_ptr& c) {
  const auto id = id_segment(c, 0, "tenant");
  return id ? std::optional{tenant_id{*id}} : std::nullopt;
}

constexpr std::string_view no_silo = "The tenant has no silo";

void reply_silo(const call_ptr& c, tenant_id tenant, unsigned status) {
  ask(c, sql::silos::show(tenant), [c, status](const std::vector<sql::silos::silo>& found) {
    if (found.empty())
      c->refuse(404, no_silo);
    else
      c->reply_json(status, silo_json(found.front()));
  });
}

/// What a secret may be called, as Kubernetes has it: never a path.
bool is_secret_name(std::string_view x) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (x.empty() || x.size() > 253 || !plain(x.front()) || !plain(x.back()))
    return false;
  for (const char c : x)
    if (!plain(c) && c != '-' && c != '.')
      return false;
  return true;
}

void request(const call_ptr& c) {
  const auto tenant = tenant_of(c);
  if (!tenant)
    return;
  std::optional<std::string> dsn_ref;
  if (const auto name = c->text_of("dsn_ref"); !name.empty()) {
    if (!is_secret_name(name)) {
      c->refuse(400, "dsn_ref is the name of a secret: lower-case letters, digits, - and .");
      return;
    }
    dsn_ref = std::string{name};
  }
  const auto purge_after = c->body.at("purge_after_seconds").as_int64();
  ask(c, sql::silos::request(*tenant, std::move(dsn_ref), purge_after),
      [c, id = *tenant](const sql::silos::requested& x) {
        if (x.outcome == "missing") {
          c->refuse(404, "Tenant not found");
        } else if (x.outcome == "tier") {
          c->refuse(refusal{409,
                            "A database of its own comes with the tier enterprise or custom; the "
                            "tenant's is " +
                                x.tier,
                            0, "silo_not_in_tier"});
        } else {
          c->at.silos.worker->wake();
          reply_silo(c, id, 202);
        }
      });
}

void show(const call_ptr& c) {
  if (const auto tenant = tenant_of(c))
    reply_silo(c, *tenant, 200);
}

void list(const call_ptr& c) {
  ask(c, sql::silos::show(std::nullopt), [c](const std::vector<sql::silos::silo>& all) {
    json::array out;
    for (const auto& x : all)
      out.push_back(silo_json(x));
    c->reply_json(200, json::object{{"silos", std::move(out)}});
  });
}

void cancel(const call_ptr& c) {
  const auto tenant = tenant_of(c);
  if (!tenant)
    return;
  ask(c, sql::silos::cancel(*tenant), [c](const std::string& outcome) {
    if (outcome == "missing") {
      c->refuse(404, no_silo);
    } else if (outcome == "active") {
      c->refuse(refusal{409, "The silo is in use: the tenant's data is there", 0, "silo_active"});
    } else {
      c->at.silos.worker->wake();
      const bool gone = outcome == "canceled";
      c->reply_json(202, json::object{{"status", gone ? "canceled" : "removing"}});
    }
  });
}

const route table[] = {
    {.method = "POST",
     .path = "/v1/tenants/{tenant_id}/silo",
     .tag = "silos",
     .summary = "Give the tenant a database of its own and move its data there; again after a "
                "failure",
     .who = access::platform,
     .body = &request_body,
     .body_optional = true,
     .answer = &silo_shape,
     .success = 202,
     .handle = request},
    {.method = "GET",
     .path = "/v1/tenants/{tenant_id}/silo",
     .tag = "silos",
     .summary = "How far the tenant's silo is",
     .who = access::platform,
     .answer = &silo_shape,
     .handle = show},
    {.method = "DELETE",
     .path = "/v1/tenants/{tenant_id}/silo",
     .tag = "silos",
     .summary = "Give up a silo that is not in use yet",
     .who = access::platform,
     .answer = &canceled_shape,
     .success = 202,
     .handle = cancel},
    {.method = "GET",
     .path = "/v1/silos",
     .tag = "silos",
     .summary = "All silos, oldest first",
     .who = access::platform,
     .answer = &list_shape,
     .handle = list},
};

}  // namespace

std::span<const route> silo_routes() { return table; }

}  // namespace kgents::gateway
