"""The node over real DDS: it runs in its own process, the test in another."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
from mock_model import DEPTH_M
from rcl_interfaces.srv import GetParameters
from rclpy.qos import ReliabilityPolicy
from running_node import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE
from sensor_msgs.msg import Image as ImageMessage
from small_drive import START_NS
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from selfocc_core.bag_messages import decode_point_cloud, pixel_array, stamp_ns_of, xyz
from selfocc_ros.transport import reliable_qos

pytestmark = pytest.mark.ros

POINTS, GRID = '/surround/occupancy/points', '/surround/occupancy/grid'


def published(node, count):
    node.wait_for(lambda: int(node.account().get('published', 0)) >= count)
    return node.account()


def test_images_become_occupancy_and_depth_with_the_right_stamps(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS, offset_ns=2_000_000)
    node.wait_for(lambda: all(node.received.values()))

    cloud = node.received[POINTS][0]
    assert stamp_ns_of(cloud) == START_NS
    assert cloud.header.frame_id == 'base_link'
    points = decode_point_cloud(cloud)
    assert list(points) == ['x', 'y', 'z', 'rgb', 'label', 'occupancy']
    assert len(points['x']) > 1000
    assert xyz(points)[:, 2].max() < 0.1
    assert points['occupancy'].min() >= 0.5

    for index, camera in enumerate(node.rig):
        depth = node.received[f'/surround/{camera.name}/depth/image'][0]
        info = node.received[f'/surround/{camera.name}/depth/camera_info'][0]
        assert stamp_ns_of(depth) == stamp_ns_of(info) == START_NS + index * 2_000_000
        assert depth.header.frame_id == info.header.frame_id == camera.frame_id
        assert (depth.encoding, depth.width, depth.height) == ('32FC1', info.width, info.height)
        assert np.all(pixel_array(depth, np.dtype(np.float32), 1) == DEPTH_M)
        scale = info.width / camera.width
        assert info.k[0] == pytest.approx(scale * camera.image_from_camera[0, 0])

    grid = node.received[GRID][0]
    assert (grid.info.width, grid.info.height, len(grid.data)) == (128, 128, 128 * 128)
    assert stamp_ns_of(grid) == START_NS


def test_every_frame_set_is_accounted_for(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    for index in range(12):
        node.publish_set(START_NS + index * 100_000_000)
        node.wait_for(lambda index=index: len(node.received[POINTS]) > index)
    node.wait_for(lambda: node.account().get('published') == '12')
    account = node.account()
    assert (account['frame_sets'], account['in_progress']) == ('12', '0')
    assert not [key for key in account if key.startswith('lost: ')]
    for name in node.rig.names:
        values = node.account(f': camera {name}')
        assert (values['received'], values['used'], values['waiting']) == ('12', '12', '0')
    assert account['backend'] == 'onnxruntime-cpu'
    assert account['backend not taken: tensorrt'].startswith('TensorRT for Python cannot be')
    assert float(account['model_ms_p95']) >= float(account['model_ms_p50']) > 0


def test_a_missing_camera_does_not_stop_the_others(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS, cameras=[name for name in node.rig.names if name != 'back'])
    published(node, 1)
    node.wait_for(lambda: node.received[POINTS])
    node.wait_for(lambda: node.received['/surround/front/depth/image'])
    assert node.account(': synchronizer')['frame_sets_incomplete'] == '1'
    assert node.account(': camera back')['received'] == '0'
    assert not node.received['/surround/back/depth/image']


def test_images_that_cannot_be_used_are_counted_and_the_others_used(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    for camera in node.rig.names:
        size = (50, 60) if camera == 'front_left' else None
        node.publish_set(START_NS, cameras=[camera], size=size)
    published(node, 1)
    assert node.account(': camera front_left')['dropped: wrong size'] == '1'
    assert 'camera "front_left" sends 60x50 images' in node.log


def test_odometry_that_does_not_cover_the_images_is_reported_not_fatal(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS)
    assert published(node, 1)['published_without_odometry'] == '1'


def test_a_bad_model_fails_the_transition_and_a_good_one_recovers(running_node, mock_model):
    node = running_node(autostart=False, model='/nowhere/model.onnx')
    assert node.state() == 'unconfigured'
    assert not node.change_state(CONFIGURE)
    assert node.state() == 'unconfigured'
    assert 'there is no model at /nowhere/model.onnx' in node.log
    assert 'Traceback' not in node.log
    assert node.set_parameter('model', string_value=str(mock_model)).successful
    assert node.change_state(CONFIGURE)
    assert node.change_state(ACTIVATE)
    assert node.state() == 'active'


def test_the_node_can_go_round_its_states_and_still_work(running_node):
    node = running_node(autostart=False)
    node.listen_to_all()
    for transition in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
        assert node.change_state(transition)
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: node.received[POINTS])


def test_only_live_parameters_change_while_configured(running_node):
    node = running_node()
    node.wait_until_ready()
    assert not node.set_parameter('model', string_value='other.onnx').successful
    assert node.set_parameter('height_band_high_m', double_value=1.0).successful
    refused = node.set_parameter('height_band_low_m', double_value=3.0)
    assert not refused.successful
    assert 'must be below' in refused.reason


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_node_with_status_zero(running_node, number):
    node = running_node()
    node.wait_until_ready()
    node.publish_set(START_NS)
    assert node.stop(number) == 0
    assert 'Traceback' not in node.log


def test_without_a_model_autostart_ends_with_one_sentence(running_node):
    node = running_node(model='/nowhere/model.onnx')
    node.status = node.process.process.wait(20)
    assert node.status == 1
    assert 'there is no model at /nowhere/model.onnx' in node.log
    assert 'Traceback' not in node.log


def test_camera_info_and_tf_calibrate_the_node_where_tf2_is_installed(running_node):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg')
    from geometry_msgs.msg import TransformStamped
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CameraInfo

    from selfocc_core import bag_messages
    from selfocc_ros.transport import latched_qos

    def as_rclpy(message_class, message):
        raw = bag_messages.typestore().serialize_cdr(message, message.__msgtype__)
        return deserialize_message(bytes(raw), message_class)

    node = running_node(rig_file='')
    node.listen_to_all()
    node.wait_until_ready()
    transforms = [
        bag_messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, 0)
        for c in node.rig
    ]
    static = tf2_msgs.TFMessage(transforms=[as_rclpy(TransformStamped, t) for t in transforms])
    node.node.create_publisher(tf2_msgs.TFMessage, '/tf_static', latched_qos()).publish(static)
    infos = {
        camera: node.node.create_publisher(
            CameraInfo, f'/surround/input/{camera.name}/camera_info', reliable_qos()
        )
        for camera in node.rig
    }
    node.wait_for(lambda: all(publisher.get_subscription_count() for publisher in infos.values()))
    for index in range(100):
        for camera, publisher in infos.items():
            publisher.publish(as_rclpy(CameraInfo, bag_messages.camera_info(camera, 0)))
        node.publish_set(START_NS + index * 100_000_000)
        node.spin_for(0.1)
        if all(node.received[f'/surround/{name}/depth/image'] for name in node.rig.names):
            break
    assert all(node.received[f'/surround/{name}/depth/image'] for name in node.rig.names)


def test_voxels_of_three_states_go_out_where_nav2_is_installed(running_node):
    nav2_msgs = pytest.importorskip('nav2_msgs.msg')
    node = running_node()
    node.listen(nav2_msgs.VoxelGrid, '/surround/occupancy/voxel_grid')
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: node.received['/surround/occupancy/voxel_grid'])
    message = node.received['/surround/occupancy/voxel_grid'][0]
    assert (message.size_x, message.size_y, message.size_z) == (128, 128, 16)
    columns = np.array(message.data, np.uint32)
    occupied, not_free = columns >> 16, columns & 0xFFFF
    assert np.any(occupied)
    assert not np.any(occupied & ~not_free)
    assert np.any(not_free & ~occupied)


def test_the_newest_grid_can_be_saved(running_node, tmp_path):
    node = running_node(save_folder=str(tmp_path / 'grids'))
    node.listen_to_all()
    node.wait_until_ready()
    refused = node.call(Trigger, 'save_grid', Trigger.Request())
    assert not refused.success
    assert 'there is no grid yet' in refused.message
    node.publish_set(START_NS)
    published(node, 1)
    answer = node.call(Trigger, 'save_grid', Trigger.Request())
    assert answer.success
    assert answer.message == str(tmp_path / 'grids' / f'{START_NS}.npz')
    with np.load(answer.message, allow_pickle=False) as saved:
        assert saved['states'].shape == saved['sdf_m'].shape == (128, 128, 16)
        assert set(np.unique(saved['states'])) == {0, 1, 2}
        assert (saved['frame_id'], saved['stamp_ns']) == ('base_link', START_NS)
        np.testing.assert_allclose(saved['voxel_size_m'], 0.4)
        np.testing.assert_allclose(saved['minimum_m'], (-25.6, -25.6, -2.0))


def test_a_folder_that_cannot_be_written_is_an_answer_and_no_crash(running_node, tmp_path):
    (tmp_path / 'file').write_text('not a folder')
    node = running_node(save_folder=str(tmp_path / 'file'))
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS)
    published(node, 1)
    answer = node.call(Trigger, 'save_grid', Trigger.Request())
    assert not answer.success
    assert 'cannot write' in answer.message


def test_reset_forgets_what_waits(running_node):
    node = running_node(timeout_ms=10000.0, silent_after_ms=60000.0)
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS, cameras=['front', 'back'])
    node.wait_for(lambda: node.account(': camera back').get('waiting') == '1')
    assert node.call(Trigger, 'reset', Trigger.Request()).success
    node.wait_for(lambda: node.account(': camera back').get('dropped: reset') == '1')
    assert node.account(': camera back')['waiting'] == '0'
    node.publish_set(START_NS - 50_000_000)  # older than what was forgotten
    published(node, 1)


def test_markers_come_when_asked_for_and_no_more_than_that(running_node):
    node = running_node(marker_limit=50)
    node.listen(MarkerArray, '/surround/debug/markers')
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: node.received['/surround/debug/markers'])
    (marker,) = node.received['/surround/debug/markers'][0].markers
    assert (len(marker.points), marker.type) == (50, marker.CUBE_LIST)
    assert marker.scale.x == pytest.approx(0.4)
    assert max(np.hypot(point.x, point.y) for point in marker.points) < 10.0  # the nearest ones
    assert marker.header.frame_id == 'base_link'


def test_nothing_is_computed_while_nobody_listens(running_node):
    node = running_node()
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: node.account().get('lost: nobody listens') == '1')
    assert 'model_ms_p50' not in node.account()
    assert node.account()['published'] == '0'
    assert node.status_of(': inference')[0] == b'\x00'


def test_quality_of_service_can_be_overridden(running_node):
    points = 'qos_overrides./surround/occupancy/points.publisher.reliability'
    images = 'qos_overrides./surround/input/back/image.subscription.depth'
    node = running_node(**{points: 'best_effort', images: 7})
    node.wait_until_ready()
    node.wait_for(lambda: node.node.get_publishers_info_by_topic(POINTS))
    (info,) = node.node.get_publishers_info_by_topic(POINTS)
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    described = node.call(GetParameters, 'get_parameters', GetParameters.Request(names=[images]))
    assert described.values[0].integer_value == 7


def test_going_round_its_states_leaves_nothing_behind(running_node):
    """No thread, no topic, no subscription; memory is the soak test's business."""
    node = running_node(autostart=False)
    threads, topics = [], []
    for _ in range(4):
        assert node.change_state(CONFIGURE)
        assert node.change_state(ACTIVATE)
        node.wait_for(lambda: node.node.count_subscribers('/surround/input/back/image') == 1)
        assert node.change_state(DEACTIVATE)
        node.wait_for(lambda: node.node.count_subscribers('/surround/input/back/image') == 0)
        assert node.change_state(CLEANUP)
        node.wait_for(lambda: node.node.count_publishers(POINTS) == 0)
        process = Path(f'/proc/{node.process.process.pid}')
        threads.append(len(list((process / 'task').iterdir())))
        offered = node.node.get_service_names_and_types_by_node('surround', '/')
        topics.append(sorted(name for name, _ in offered))
    assert threads[0] == threads[-1]
    assert topics[0] == topics[-1]
    assert '/surround/save_grid' not in topics[-1]


def said_why(node):
    """Wait for the reason of the silence in the log and return it."""
    node.wait_for(lambda: 'nothing comes out: ' in node.log)
    return node.log.split('nothing comes out: ')[-1].splitlines()[0]


def test_after_five_seconds_of_silence_it_says_where_the_images_are(running_node):
    node = running_node()
    node.listen_to_all()
    elsewhere = {}
    for camera, publisher in list(node.images.items()):
        topic = f'/sensing/{camera}/image_raw'
        elsewhere[camera] = node.node.create_publisher(ImageMessage, topic, reliable_qos())
        node.node.destroy_publisher(publisher)
    reason = said_why(node)
    assert '/surround/input/front/image' in reason
    assert '/sensing/front/image_raw' in reason
    assert 'remap' in reason or ':=' in reason
    node.wait_for(lambda: reason in node.status_of(': occupancy')[1])
    assert node.status_of(': occupancy')[0] == b'\x02'


def test_it_says_so_when_the_images_come_the_other_way(running_node):
    node = running_node(image_transport='compressed')
    node.listen_to_all()
    reason = said_why(node)
    assert 'image_transport' in reason
    assert 'raw' in reason


def test_it_says_so_when_the_clock_of_the_simulation_stands_still(running_node):
    node = running_node(use_sim_time=True)
    node.listen_to_all()
    assert '/clock' in said_why(node)


def test_a_node_to_which_nobody_listens_does_not_complain(running_node):
    node = running_node()
    node.wait_until_ready()
    for index in range(70):
        node.publish_set(START_NS + index * 100_000_000)
        node.spin_for(0.1)
    node.wait_for(lambda: int(node.account().get('lost: nobody listens', 0)) > 60)
    assert 'nothing comes out' not in node.log
