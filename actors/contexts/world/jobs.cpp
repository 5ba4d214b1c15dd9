// Work that is asked of entities: queued in the database, done by whoever takes it from
// world.jobs.

#include <boost/json/serialize.hpp>

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/entity_aspects.hpp"
#include "actors/contexts/world/nodes.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_jobs.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// Queued and running jobs of one tenant.
constexpr int64_t most_open_jobs = 10'000;

json::object shown(const sql::agentese_job& x) {
  boost::system::error_code bad;
  return {{"job_id", x.id.text()},
          {"node", x.node},
          {"aspect", x.aspect},
          {"kwargs", parse_own(x.kwargs, bad)},
          {"status", x.status},
          {"note", x.note},
          {"requested_by", x.requested_by},
          {"created_at", x.created_at},
          {"updated_at", x.updated_at}};
}

/// A value, as for scheduled actions: who asks for a job that is gone has made no mistake.
json::object no_such_job(const aspect_call& c) {
  const auto id = c.text("job_id");
  return {{"job_id", id}, {"error", "Job " + agentese::printable(id, 64) + " not found"}};
}

}  // namespace

task<outcome> entity::enqueue(aspect_call& c) {
  auto counting = sql::agentese_jobs::count_open(c.tenant());
  const auto open = co_await c.read(std::move(counting));
  if (open >= most_open_jobs) {
    auto full = agentese::errors::unavailable(
        c.full_path(), "There are " + std::to_string(open) + " jobs waiting", 60);
    full.category = agentese::category::quota_exceeded;
    full.code = "QUEUE_FULL";
    co_return std::move(full);
  }
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  sql::agentese_job job;
  job.id = uuid::random();
  job.node = c.node();
  job.aspect = c.asked().aspect;
  job.kwargs = json::serialize(c.args());
  job.requested_by = c.by().user.empty() ? c.who().id : c.by().user;
  const auto id = job.id.text();
  if (job.aspect == "build")
    node.state["build_status"] = "queued";
  node.state["last_job"] = json::object{{"job_id", id}, {"aspect", job.aspect}};
  json::object about{{"job_id", id}};
  remember(node, c, about);
  std::vector<sql::statement> also;
  also.push_back(sql::agentese_jobs::insert_statement(c.tenant(), job));
  const auto saved =
      co_await node_store::save(c, std::move(node), std::move(about), std::move(also));
  co_return json::object{{"job_id", id},
                         {"status", "queued"},
                         {"entity", c.name()},
                         {"aspect", c.asked().aspect},
                         {"note", "Whoever does such work takes it from world.jobs."},
                         {"version", saved->version}};
}

namespace {

task<outcome> list(aspect_call& c) {
  auto query = sql::agentese_jobs::list(c.tenant(), c.text("node"), c.text("status"),
                                        static_cast<size_t>(c.integer("limit")));
  const auto jobs = co_await c.read(std::move(query));
  json::array all;
  for (const auto& x : jobs)
    all.emplace_back(shown(x));
  const auto count = all.size();
  co_return json::object{{"jobs", std::move(all)}, {"count", count}};
}

task<outcome> inspect(aspect_call& c) {
  const auto id = uuid::parse(c.text("job_id"));
  if (!id)
    co_return no_such_job(c);
  auto query = sql::agentese_jobs::get(c.tenant(), *id);
  const auto job = co_await c.read(std::move(query));
  if (!job)
    co_return no_such_job(c);
  co_return shown(*job);
}

json::object too_late(const sql::agentese_job& x) {
  return {
      {"job_id", x.id.text()}, {"status", x.status}, {"error", "Job is " + x.status + " already"}};
}

/// Claims, ends or cancels one. A build's status goes on to the entity.
task<outcome> change(aspect_call& c, std::string status) {
  const auto id = uuid::parse(c.text("job_id"));
  if (!id)
    co_return no_such_job(c);
  const auto held = co_await c.lock("job:" + id->text());
  auto looking = sql::agentese_jobs::get(c.tenant(), *id);
  const auto before = co_await c.read(std::move(looking));
  if (!before)
    co_return no_such_job(c);
  const bool open =
      before->status == "queued" || (before->status == "running" && status != "running");
  if (!open)
    co_return too_late(*before);
  auto query = sql::agentese_jobs::change(c.tenant(), *id, status, c.text("note"));
  json::object told{{"job_id", id->text()}, {"status", status}};
  const auto job = co_await c.write(std::move(query), std::move(told));
  if (!job)
    co_return too_late(*before);
  if (job->aspect == "build") {
    const auto node_held = co_await node_store::lock(c, job->node);
    auto node = co_await editable(c, job->node);
    node.state["build_status"] = status;
    json::object about{{"build_status", status}};
    (void)co_await node_store::save(c, std::move(node), std::move(about));
  }
  co_return shown(*job);
}

task<outcome> claim(aspect_call& c) {
  auto out = co_await change(c, "running");
  co_return std::move(out);
}
task<outcome> report(aspect_call& c) {
  auto out = co_await change(c, c.text("status"));
  co_return std::move(out);
}
task<outcome> cancel(aspect_call& c) {
  auto out = co_await change(c, "cancelled");
  co_return std::move(out);
}

constexpr std::string_view statuses[] = {"queued", "running", "done", "failed", "cancelled"};
constexpr std::string_view ends[] = {"done", "failed"};

constexpr argument id_arg{.name = "job_id", .required = true, .max_bytes = 64};
constexpr argument note_arg{.name = "note", .meaning = "in words", .max_bytes = 4 * 1024};
constexpr argument list_args[] = {
    {.name = "node", .meaning = "of which; any when absent", .max_bytes = 512},
    {.name = "status", .meaning = "any when absent", .one_of = statuses},
    {.name = "limit",
     .type = argument_type::integer,
     .default_json = "100",
     .least = 1,
     .most = 1000}};
constexpr argument id_args[] = {id_arg};
constexpr argument note_args[] = {id_arg, note_arg};
constexpr argument report_args[] = {
    id_arg, note_arg, {.name = "status", .required = true, .one_of = ends}};

constexpr std::string_view job_shape =
    "{job_id: string, status?: string, node?: string, aspect?: string, kwargs?: any, note?: string,"
    " created_at?: string, updated_at?: string, error?: string}";
constexpr std::string_view some_job = R"({"job_id":"00000000-0000-4000-8000-000000000000"})";

constexpr aspect_spec aspects[] = {
    {.name = "list",
     .run = list,
     .help = "Jobs, newest first.",
     .args = list_args,
     .returns = "{jobs: [object], count: integer}",
     .effects = "reads:jobs"},
    {.name = "inspect",
     .run = inspect,
     .help = "One job.",
     .args = id_args,
     .returns = job_shape,
     .effects = "reads:jobs",
     .example = some_job},
    {.name = "claim",
     .category = aspect_category::mutation,
     .run = claim,
     .help = "Takes a queued job to do it; of several takers one gets it.",
     .args = note_args,
     .returns = job_shape,
     .effects = "writes:jobs",
     .example = some_job},
    {.name = "report",
     .category = aspect_category::mutation,
     .run = report,
     .help = "Tells that a job is done or has failed.",
     .args = report_args,
     .returns = job_shape,
     .effects = "writes:jobs",
     .example = R"({"job_id":"00000000-0000-4000-8000-000000000000","status":"done"})"},
    {.name = "cancel",
     .category = aspect_category::mutation,
     .run = cancel,
     .help = "Calls a job off.",
     .args = note_args,
     .returns = job_shape,
     .effects = "writes:jobs",
     .example = some_job},
};
constexpr archetype_row rows[] = {{"developer admin architect", "claim report cancel"}};
constexpr node_spec jobs_node{.path = "world.jobs",
                              .description = "Work that was asked of entities.",
                              .aspects = aspects,
                              .common = "list inspect",
                              .rows = rows};

}  // namespace

void register_jobs(registry& to) { to.add(jobs_node); }

}  // namespace kgents::actors
