"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One server's, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "babeldraw_requests", "Answers.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "babeldraw_request_seconds",
            "From request to answer.",
            ["route"],
            registry=registry,
            buckets=SECONDS,
        )
        self.pictures = Counter(
            "babeldraw_pictures", "Pictures drawn and delivered.", ["model"], registry=registry
        )
        self.given_up = Counter(
            "babeldraw_given_up", "Pictures that nobody waited for to the end.", registry=registry
        )
        self.refused = Counter(
            "babeldraw_moderated",
            "Requests that moderation refused.",
            ["stage"],
            registry=registry,
        )
        self.trainings = Counter(
            "babeldraw_trainings", "Trainings that ended.", ["status"], registry=registry
        )
        self.waiting = Gauge("babeldraw_waiting", "Pictures in the queue.", registry=registry)
        self.batch = Histogram(
            "babeldraw_batch_pictures",
            "Pictures asked for in a batch.",
            registry=registry,
            buckets=SIZES,
        )
        self.drawing_seconds = Histogram(
            "babeldraw_batch_seconds",
            "From a batch's begin to its end.",
            registry=registry,
            buckets=SECONDS,
        )

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)
