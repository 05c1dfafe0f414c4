"""One fault at a time in a healthy node: the first error must name it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfocc_core.doctor.finding import first_error
from selfocc_core.doctor.node_check import diagnose
from selfocc_core.doctor.observation import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    CameraView,
    Endpoint,
    FrameSetsView,
    GraphView,
    NodeObservation,
    Topic,
    TransportView,
)

CAMERAS = ('front', 'front_left', 'back')
DRIVER = '/driver'
GRID = 'nav_msgs/msg/OccupancyGrid'
TF = 'tf2_msgs/msg/TFMessage'


def topic(name, type_name=IMAGE, others=None):
    return Topic(name, type_name, (Endpoint(DRIVER, type_name),) if others is None else others)


def healthy():
    graph = GraphView(
        images={c: topic(f'/surround/input/{c}/image') for c in CAMERAS},
        infos={c: topic(f'/surround/input/{c}/camera_info', CAMERA_INFO) for c in CAMERAS},
        odometry=topic('/surround/input/odometry', ODOMETRY),
        transforms=topic('/tf_static', TF),
        outputs=(topic('/surround/occupancy/grid', GRID, (Endpoint('/rviz2', GRID),)),),
        nodes=('/surround', DRIVER),
    )
    return NodeObservation(
        node='/surround',
        state='active',
        graph=graph,
        cameras=dict.fromkeys(CAMERAS, CameraView(received=100, rate_hz=10.0, age_s=0.1)),
        frame_sets=FrameSetsView(formed=100, published=99, in_progress=1),
        inference='selfocc-tiny 0.1.0 on onnxruntime-cpu',
    )


def with_graph(observation, **changes):
    return replace(observation, graph=replace(observation.graph, **changes))


def with_cameras(observation, view, cameras=CAMERAS):
    views = {**observation.cameras, **dict.fromkeys(cameras, view)}
    return replace(observation, cameras=views)


def nothing_published(observation, **sets):
    return replace(observation, frame_sets=FrameSetsView(**sets))


def reason(observation):
    found = first_error(diagnose(observation))
    return str(found) if found else None


def without_images(observation, cameras=CAMERAS, **published):
    images = dict(observation.graph.images)
    for camera in cameras:
        images[camera] = replace(images[camera], others=())
    return with_graph(observation, images=images, published=published.get('published', {}))


def levels(observation):
    return {finding.subject: finding.level for finding in diagnose(observation)}


def test_a_healthy_node_has_only_good_findings():
    findings = diagnose(healthy())
    assert {finding.level for finding in findings} == {'ok'}
    assert str(findings[0]) == (
        'node: /surround works: selfocc-tiny 0.1.0 on onnxruntime-cpu, 3 of 3 cameras at 10.0 Hz, '
        '99 frame sets published in frame base_link'
    )
    assert 'camera front: 10.0 Hz on /surround/input/front/image' in map(str, findings)


def test_an_absent_node_is_told_with_those_that_are_there():
    absent = with_graph(replace(healthy(), state='absent'), nodes=('/driver',), domain='42')
    assert reason(absent).startswith(
        'node: there is no node /surround in ROS domain 42, which has /driver: start it'
    )
    elsewhere = with_graph(absent, nodes=('/driver', '/ego/surround'))
    assert reason(elsewhere).endswith('but /ego/surround: give --node /ego/surround')
    assert 'which has no node at all' in reason(with_graph(absent, nodes=()))


@pytest.mark.parametrize(
    ('state', 'sentence'),
    [
        ('silent', 'does not answer'),
        ('unconfigured', '"ros2 lifecycle set /surround configure", then activate'),
        ('inactive', '/surround is inactive: "ros2 lifecycle set /surround activate"'),
        ('finalized', 'was shut down: start it again'),
        ('activating', '/surround is activating: wait'),
    ],
)
def test_a_node_that_does_not_run_is_told_with_the_remedy(state, sentence):
    idle = replace(healthy(), state=state, frame_sets=FrameSetsView())
    assert sentence in reason(idle)


def test_why_it_could_not_be_configured_comes_before_that_it_is_not():
    problem = 'there is no model at /x.onnx: give the path of an .onnx file'
    refused = replace(healthy(), state='unconfigured', configure_problem=problem, cameras={})
    assert reason(refused) == f'configuration: {problem}'
    assert 'unconfigured' in str(diagnose(refused)[1])


def test_an_idle_node_is_already_told_which_driver_is_missing():
    idle = replace(without_images(healthy(), ['back']), state='inactive', cameras={})
    assert levels(idle)['camera back'] == 'error'
    assert levels(idle)['camera front'] == 'ok'


def test_simulated_time_without_a_clock():
    stopped = replace(healthy(), use_sim_time=True)
    assert 'nobody publishes /clock' in reason(stopped)
    assert reason(with_graph(stopped, has_clock=True)) is None


def test_a_topic_with_the_cameras_name_is_offered_as_a_remap():
    published = {
        '/camera/front/image_raw': IMAGE,
        '/camera/front_left/image_raw': IMAGE,
        '/camera/front/depth/image_raw': IMAGE,
        '/CAM_REAR/image_rect': IMAGE,
    }
    findings = {
        f.subject: f.sentence for f in diagnose(without_images(healthy(), published=published))
    }
    assert findings['camera front'] == (
        'nobody publishes /surround/input/front/image: /camera/front/image_raw has its images: '
        'start the node with --ros-args -r /surround/input/front/image:=/camera/front/image_raw '
        '(2 other cameras likewise)'
    )
    assert findings['camera front_left'].endswith(':=/camera/front_left/image_raw')
    assert findings['camera back'].endswith(':=/CAM_REAR/image_rect -p rectified:=true')


def test_other_topics_with_images_are_named_where_none_has_the_cameras_name():
    published = {'/usb_cam/image_raw': IMAGE, '/scan': 'sensor_msgs/msg/LaserScan'}
    told = reason(without_images(healthy(), ['back'], published=published))
    assert told.endswith('start the driver, or remap; topics with images are /usb_cam/image_raw')
    assert 'no other topic has images either' in reason(without_images(healthy(), ['back']))


def test_images_under_the_other_transport():
    sibling = {'/surround/input/front/image/compressed': COMPRESSED_IMAGE}
    told = reason(without_images(healthy(), ['front'], published=sibling))
    assert 'are compressed, on /surround/input/front/image/compressed' in told
    assert 'set the parameter image_transport to compressed' in told

    elsewhere = {'/camera/front/image/compressed': COMPRESSED_IMAGE}
    told = reason(without_images(healthy(), ['front'], published=elsewhere))
    assert 'set the parameter image_transport to compressed, and start the node with' in told
    assert '/surround/input/front/image/compressed:=/camera/front/image/compressed' in told


def test_raw_images_where_compressed_ones_are_expected():
    observation = replace(healthy(), image_transport='compressed')
    wanted = '/surround/input/front/image'
    images = {'front': topic(f'{wanted}/compressed', COMPRESSED_IMAGE, ())}
    raw = with_graph(observation, images=images, published={wanted: IMAGE})
    assert f'its images are raw, on {wanted}, and the node takes compressed' in reason(raw)


def test_another_type_on_the_very_topic():
    other = (Endpoint(DRIVER, COMPRESSED_IMAGE),)
    images = {'front': topic('/surround/input/front/image', others=other)}
    told = reason(with_graph(healthy(), images=images))
    assert (
        '/driver publishes sensor_msgs/msg/CompressedImage on /surround/input/front/image' in told
    )
    assert 'image_transport to compressed' in told
    other = (Endpoint(DRIVER, 'std_msgs/msg/String'),)
    images = {'front': topic('/surround/input/front/image', others=other)}
    assert 'give the node a topic of images' in reason(with_graph(healthy(), images=images))


def test_quality_of_service_that_does_not_match():
    other = (Endpoint(DRIVER, IMAGE, 'reliability'),)
    images = {c: topic(f'/in/{c}', others=other) for c in CAMERAS}
    told = reason(with_graph(healthy(), images=images))
    assert 'quality of service that the node cannot take (reliability)' in told
    images['front'] = topic('/in/front', others=(*other, Endpoint('/second', IMAGE)))
    assert levels(with_graph(healthy(), images=images))['camera front'] == 'ok'


@pytest.mark.parametrize(
    ('transport', 'sentence'),
    [
        (None, 'check that the driver sends (ros2 topic hz)'),
        (TransportView('rmw_fastrtps_cpp', False, None), 'runs without the profile'),
        (TransportView('rmw_fastrtps_cpp', True, 64 * 2**20), '(/dev/shm) has 64 MiB'),
        (TransportView('rmw_fastrtps_cpp', True, 2**30), 'check that the driver sends'),
        (TransportView('rmw_cyclonedds_cpp', False, None), 'check that the driver sends'),
    ],
)
def test_images_that_are_published_but_do_not_arrive(transport, sentence):
    lost = with_cameras(replace(healthy(), transport=transport), CameraView())
    told = reason(nothing_published(lost))
    assert told.startswith('camera front: /driver publishes /surround/input/front/image, but no')
    assert sentence in told


def test_a_driver_that_stalled():
    stalled = with_cameras(healthy(), CameraView(received=9, age_s=4.2), ['back'])
    assert reason(stalled).startswith('camera back: no image for 4.2 s on')
    just_lost = CameraView(received=9, age_s=0.6, problem='no image for 0.5 s')
    told = reason(with_cameras(healthy(), just_lost, ['back']))
    assert told.startswith('camera back: no image for 0.6 s on')


def test_cameras_without_calibration():
    problem = 'no transform connects "cam" with "base_link": publish it on /tf_static'
    lacking = with_cameras(healthy(), CameraView(9, 10.0, 0.1, calibration_problem=problem))
    lacking = nothing_published(lacking, formed=9, lost={'too few usable images': 9})
    assert reason(lacking) == f'camera front: {problem} (2 other cameras likewise)'

    no_tf = with_graph(lacking, transforms=topic('/tf_static', TF, ()))
    assert reason(no_tf).startswith('transforms: nobody publishes /tf_static')
    volatile = (Endpoint('/tf', TF, 'volatile'),)
    told = reason(with_graph(lacking, transforms=topic('/tf_static', TF, volatile)))
    assert told.startswith('transforms: /tf publishes /tf_static with a quality of service')

    infos = {c: topic(f'/in/{c}/camera_info', CAMERA_INFO, ()) for c in CAMERAS}
    no_info = with_graph(lacking, infos=infos, published={'/cam/front/camera_info': CAMERA_INFO})
    told = {finding.subject: finding.sentence for finding in diagnose(no_info)}
    assert '-r /in/front/camera_info:=/cam/front/camera_info' in told['camera front']
    assert 'topics with camera_info are /cam/front/camera_info' in told['camera back']
    silent = CameraView(9, 10.0, 0.1, calibration_problem='no camera_info has arrived')
    told = reason(with_cameras(lacking, silent))
    assert '/driver publishes /surround/input/front/camera_info, but nothing arrives' in told
    mismatch = (Endpoint(DRIVER, CAMERA_INFO, 'durability'),)
    infos = {c: topic(f'/in/{c}/camera_info', CAMERA_INFO, mismatch) for c in CAMERAS}
    assert 'cannot take (durability)' in reason(with_graph(lacking, infos=infos))


@pytest.mark.parametrize(
    ('problem', 'sentence'),
    [
        ('wrong size', 'correct its camera_info or the rig file'),
        ('black image', 'look at the lens and the exposure'),
        ('its clock disagrees with the others', 'synchronise the clocks'),
        ('too blue', 'the log of the node has the details'),
    ],
)
def test_images_that_are_refused(problem, sentence):
    view = CameraView(9, 10.0, 0.1, problem=problem)
    observation = nothing_published(
        with_cameras(healthy(), view), formed=9, lost={'too few usable images': 9}
    )
    told = reason(observation)
    assert told.startswith(f'camera front: it is not used: {problem}: {sentence}')


def test_images_that_were_refused_once_are_a_warning():
    dropped = {'cannot be decoded': 1, 'frame set superseded by a newer one': 40}
    view = CameraView(100, 10.0, 0.1, dropped=dropped)
    observation = with_cameras(healthy(), view, ['back'])
    assert reason(observation) is None
    told = {finding.subject: finding for finding in diagnose(observation)}['camera back']
    assert told.level == 'warning'
    assert told.sentence.startswith('1 of 100 images were refused; cannot be decoded: look at its')


@pytest.mark.parametrize(
    ('offset_s', 'simulated', 'sentence'),
    [
        (-3.0, False, "3.0 s ahead of the node's clock"),
        (86400.0, False, 'give it use_sim_time if a bag is played, else synchronise the clocks'),
        (86400.0, True, 'play the bag with --clock'),
    ],
)
def test_stamps_of_another_time_are_a_warning(offset_s, simulated, sentence):
    view = CameraView(100, 10.0, 0.1, clock_offset_s=offset_s)
    observation = replace(with_cameras(healthy(), view), use_sim_time=simulated)
    observation = with_graph(observation, has_clock=True)
    assert reason(observation) is None
    told = {finding.subject: finding for finding in diagnose(observation)}['camera front']
    assert told.level == 'warning'
    assert sentence in told.sentence


@pytest.mark.parametrize(
    ('sets', 'sentence'),
    [
        ({}, 'images arrive but form no frame set: compare'),
        ({'images_dropped': {'out of order': 5}}, 'no frame set (5 dropped: out of order)'),
        ({'formed': 9, 'lost': {'internal error': 9}}, 'please report it'),
        ({'formed': 9, 'lost': {'novel': 9}}, '9 of 9 were lost: novel; the log'),
        ({'formed': 1, 'in_progress': 1}, 'the model is still at work'),
        ({'formed': 1}, 'look at the log'),
        ({'formed': 9, 'published': 5, 'age_s': 60.0, 'in_progress': 1}, 'still at work'),
    ],
)
def test_frame_sets_that_do_not_come_out(sets, sentence):
    told = reason(nothing_published(healthy(), **sets))
    assert told.startswith('frame sets: ')
    assert sentence in told


def test_one_missing_camera_is_not_why_all_frame_sets_are_lost():
    observation = without_images(healthy(), ['back'])
    lost = nothing_published(observation, formed=9, lost={'refused by the pipeline': 9})
    assert reason(lost).startswith('frame sets: 9 of 9 were lost: rig and model do not fit')
    assert levels(lost)['camera back'] == 'error'
    needs_all = replace(lost, minimum_cameras=3)
    assert reason(needs_all).startswith('camera back: nobody publishes')


def test_what_concerns_most_cameras_is_the_reason():
    problem = 'no transform connects "cam" with "base_link"'
    uncalibrated = with_cameras(healthy(), CameraView(9, 10.0, 0.1, calibration_problem=problem))
    observation = nothing_published(without_images(uncalibrated, ['back']), formed=9)
    assert reason(observation).startswith(f'camera front: {problem}')
    observation = without_images(observation, ['back', 'front'])
    assert reason(observation).startswith('camera front: nobody publishes')


def test_what_only_makes_it_worse_is_a_warning():
    slow = with_cameras(healthy(), CameraView(20, 2.0, 0.1), ['back'])
    assert levels(slow)['camera back'] == 'warning'
    lossy = nothing_published(
        healthy(), formed=100, published=50, lost={'superseded by a newer one': 50}
    )
    assert levels(lossy)['frame sets'] == 'warning'
    no_profile = replace(healthy(), transport=TransportView('rmw_fastrtps_cpp', False, None))
    assert levels(no_profile)['transport'] == 'warning'
    assert 'transport' not in levels(replace(no_profile, image_transport='compressed'))
    for observation in (slow, lossy, no_profile):
        assert reason(observation) is None


def test_odometry_is_missed_but_not_needed():
    without = with_graph(
        healthy(), odometry=topic('/in/odometry', ODOMETRY, ()), published={'/odom': ODOMETRY}
    )
    assert levels(without)['odometry'] == 'warning'
    assert any('-r /in/odometry:=/odom' in finding.sentence for finding in diagnose(without))
    assert reason(without) is None


@pytest.mark.parametrize(
    ('listener', 'sentence'),
    [
        (Endpoint('/rviz2', GRID, 'durability'), '/rviz2 listens with a quality of service that'),
        (Endpoint('/rviz2', IMAGE), '/rviz2 takes it for sensor_msgs/msg/Image, but it is nav'),
    ],
)
def test_a_listener_that_nothing_reaches_is_the_reason_if_there_is_no_other(listener, sentence):
    outputs = (topic('/surround/occupancy/grid', GRID, (listener,)),)
    unheard = nothing_published(
        with_graph(healthy(), outputs=outputs), formed=9, lost={'nobody listens': 9}
    )
    assert reason(unheard).startswith(f'/surround/occupancy/grid: {sentence}')
    heard = with_graph(healthy(), outputs=(*outputs, *healthy().graph.outputs))
    assert levels(heard)['/surround/occupancy/grid'] == 'warning'
    assert reason(heard) is None


def test_a_node_that_nobody_listens_to_is_well():
    outputs = (topic('/surround/occupancy/grid', GRID, ()),)
    unheard = nothing_published(
        with_graph(healthy(), outputs=outputs), formed=9, lost={'nobody listens': 9}
    )
    assert reason(unheard) is None
    assert levels(unheard)['outputs'] == 'warning'
    assert levels(unheard)['node'] == 'ok'
    no_sets = nothing_published(with_graph(healthy(), outputs=outputs))
    assert 'no frame set' in reason(no_sets)


def test_what_was_lost_while_nobody_listened_does_not_count():
    late = nothing_published(
        healthy(), formed=100, published=10, age_s=0.1, lost={'nobody listens': 90}
    )
    assert levels(late)['frame sets'] == 'ok'


def test_an_active_node_without_an_account_is_no_healthy_one():
    assert 'says nothing on /diagnostics' in reason(replace(healthy(), cameras={}))
