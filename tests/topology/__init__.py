"""The services of docker-compose.yaml as plain processes of this machine, where no container engine is."""
