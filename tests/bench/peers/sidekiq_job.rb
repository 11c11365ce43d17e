# The job of Sidekiq: a command.
require "sidekiq"

Sidekiq.configure_server { |config| config.redis = { url: "unix://" + ENV["BENCH_SOCKET"] } }

class Run
  include Sidekiq::Worker
  sidekiq_options retry: false
  def perform(*command)
    pid = Process.spawn(*command)
    Process.wait(pid)
  end
end
