"""What runs as a Knative Service or Job: one folder a function; folder, image and service bear one name."""
