#include "server/metrics_text.h"

#include <chrono>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "server/labelled.h"

namespace interplay::server {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

class Page {
 public:
  void family(const char* name, const char* type, const char* help) {
    out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Number>
  void line(std::string_view name, std::string_view labels, Number value) {
    out_ += labels.empty() ? fmt::format("{} {}\n", name, value) : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  void histogram(const std::string& name, const std::string& labels, const Histogram& of) {
    int64_t count = 0;
    for (size_t i = 0; i <= Histogram::kBounds.size(); ++i) {
      count += of.in_bucket(i);
      const std::string bound = i == Histogram::kBounds.size() ? "+Inf" : fmt::format("{}", Histogram::kBounds[i]);
      line(name + "_bucket", fmt::format("{},le=\"{}\"", labels, bound), count);
    }
    line(name + "_sum", labels, double(of.sum_ns()) * 1e-9);
    line(name + "_count", labels, count);
  }
  std::string text() && { return std::move(out_); }

 private:
  std::string out_;
};

using Each = std::function<void(const char* name, const char* type, const char* help,
                                const std::function<void(const std::string&, const ServedVersion&)>& write)>;

void unknown_values(const Each& each, Page& page) {
  const auto of_field = [](const std::string& labels, const Field& field) {
    return fmt::format("{},field=\"{}\"", labels, escaped(field.name));
  };
  each("interplay_values_total", "counter", "values of some of the rows, by field, of which the next are unknown",
       [&](const std::string& labels, const ServedVersion& version) {
         const auto counts = version.stats().values();
         for (size_t f = 0; f < counts.size(); ++f) {
           if (counts[f].values > 0)
             page.line("interplay_values_total", of_field(labels, version.fields()[f]), counts[f].values);
         }
       });
  each("interplay_unknown_values_total", "counter", "values that are missing or not in the field's vocabulary",
       [&](const std::string& labels, const ServedVersion& version) {
         const auto counts = version.stats().values();
         for (size_t f = 0; f < counts.size(); ++f) {
           if (counts[f].values > 0)
             page.line("interplay_unknown_values_total", of_field(labels, version.fields()[f]), counts[f].unknown);
         }
       });
  each("interplay_unknown_values_trained", "gauge", "share of such values among the training rows",
       [&](const std::string& labels, const ServedVersion& version) {
         for (size_t f = 0; f < version.fields().size(); ++f) {
           const double share = version.trained_unknown()[f];
           if (share >= 0) page.line("interplay_unknown_values_trained", of_field(labels, version.fields()[f]), share);
         }
       });
}

/// Of the last rows whose labels were posted.
void labelled(const Each& each, Page& page) {
  const auto gauge = [&](const char* name, const char* help,
                         const std::function<double(const LabelledQuality&)>& value) {
    each(name, "gauge", help, [&](const std::string& labels, const ServedVersion& version) {
      for (size_t t = 0; t < version.stats().labelled.size(); ++t) {
        const LabelledQuality quality = quality_of(version.stats().labelled[t].rows());
        const double of = value(quality);
        if (quality.rows > 0 && std::isfinite(of))
          page.line(name, fmt::format("{},label=\"{}\"", labels, escaped(version.labels()[t])), of);
      }
    });
  };
  gauge("interplay_labelled_rows", "the last rows whose label is known, of which the next are",
        [](const auto& q) { return double(q.rows); });
  gauge("interplay_labelled_auc", "area under the ROC curve", [](const auto& q) { return q.auc; });
  gauge("interplay_labelled_logloss", "mean cross entropy", [](const auto& q) { return q.logloss; });
  gauge("interplay_labelled_calibration", "mean score over mean label: 1 of a calibrated model",
        [](const auto& q) { return q.mean_p / q.mean_label; });
}

}  // namespace

std::string metrics_text(const Repository& repository, const ServerCounts& counts) {
  Page page;
  page.family("interplay_connections", "gauge", "open connections");
  page.line("interplay_connections", "", counts.connections);
  page.family("interplay_requests_waiting", "gauge", "requests that no thread has taken yet");
  page.line("interplay_requests_waiting", "", counts.waiting);
  page.family("interplay_version_swaps_total", "counter", "versions that took another's place");
  page.line("interplay_version_swaps_total", "", repository.swaps());
  page.family("interplay_version_failures_total", "counter", "versions that could not be loaded");
  page.line("interplay_version_failures_total", "", repository.failures());

  page.family("interplay_observed_dropped_total", "counter",
              "answered requests that were neither logged nor compared nor counted, for there were too many");
  page.line("interplay_observed_dropped_total", "", counts.dropped);
  page.family("interplay_labels_total", "counter",
              "labels that were posted: taken, or told before, or of a row that is not remembered");
  page.line("interplay_labels_total", "outcome=\"taken\"", counts.labels);
  page.line("interplay_labels_total", "outcome=\"unknown\"", counts.labels_unknown);
  page.line("interplay_labels_total", "outcome=\"repeated\"", counts.labels_repeated);

  std::vector<std::pair<std::string, const ServedVersion*>> all;
  const auto catalogue = repository.catalogue();
  page.family("interplay_model_ready", "gauge", "1 where a version of the model is served");
  for (const auto& [name, model] : *catalogue) {
    page.line("interplay_model_ready", fmt::format("model=\"{}\"", escaped(name)), model.standing ? 1 : 0);
    for (const auto& [version, served] : model.versions) {
      all.emplace_back(fmt::format("model=\"{}\",version=\"{}\"", escaped(name), escaped(version)), served.get());
    }
  }
  const Each each = [&](const char* name, const char* type, const char* help,
                        const std::function<void(const std::string&, const ServedVersion&)>& write) {
    page.family(name, type, help);
    for (const auto& [labels, version] : all) write(labels, *version);
  };
  each("interplay_requests_total", "counter", "requests by outcome",
       [&](const std::string& labels, const ServedVersion& version) {
         const VersionStats& s = version.stats();
         page.line("interplay_requests_total", labels + ",outcome=\"answered\"", s.whole.count());
         page.line("interplay_requests_total", labels + ",outcome=\"refused\"", s.refused.load());
         page.line("interplay_requests_total", labels + ",outcome=\"failed\"", s.failed.load());
       });
  each("interplay_rows_total", "counter", "rows that were scored",
       [&](const std::string& labels, const ServedVersion& version) {
         page.line("interplay_rows_total", labels, version.stats().rows.load());
       });
  const auto times = [&](const char* name, const char* help, const Histogram VersionStats::*member) {
    each(name, "histogram", help, [&](const std::string& labels, const ServedVersion& version) {
      page.histogram(name, labels, version.stats().*member);
    });
  };
  times("interplay_request_seconds", "from a request's last byte to its answer", &VersionStats::whole);
  times("interplay_queue_seconds", "that a request waited for a thread", &VersionStats::queue);
  times("interplay_compute_seconds", "of scoring alone", &VersionStats::compute);

  each("interplay_run_age_seconds", "gauge", "since the run was finished",
       [&](const std::string& labels, const ServedVersion& version) {
         const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1);
         page.line("interplay_run_age_seconds", labels, int64_t(now) - version.trained_at());
       });
  each("interplay_score_sum", "counter", "of all scores: divided by rows and labels, the mean prediction",
       [&](const std::string& labels, const ServedVersion& version) {
         page.line("interplay_score_sum", labels, version.stats().score_sum.load());
       });
  each("interplay_score", "histogram", "scores", [&](const std::string& labels, const ServedVersion& version) {
    int64_t count = 0;
    for (size_t i = 0; i < VersionStats::kScoreBuckets; ++i) {
      count += version.stats().scores[i].load();
      page.line("interplay_score_bucket",
                fmt::format("{},le=\"{:g}\"", labels, double(i + 1) / double(VersionStats::kScoreBuckets)), count);
    }
    page.line("interplay_score_bucket", labels + ",le=\"+Inf\"", count);
    page.line("interplay_score_count", labels, count);
  });
  each("interplay_missing_cells_total", "counter", "cells without a value, by column",
       [&](const std::string& labels, const ServedVersion& version) {
         for (size_t c = 0; c < version.columns().names.size(); ++c) {
           page.line("interplay_missing_cells_total",
                     fmt::format("{},column=\"{}\"", labels, escaped(version.columns().names[c])),
                     version.stats().missing[c].load());
         }
       });
  unknown_values(each, page);
  labelled(each, page);
  return std::move(page).text();
}

}  // namespace interplay::server
